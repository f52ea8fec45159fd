// Package client is everything that dials: it keeps links to peers up, and is the
// Go library for a daemon's local API, with which a program is on its bus.
package client
