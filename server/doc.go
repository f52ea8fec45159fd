// Package server is everything that answers RPCs: it accepts links from peers,
// and offers the bus, the daemon's status and its health to local programs.
package server
