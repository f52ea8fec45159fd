// Package client is the Go library for a daemon's local API, with which a program is
// on its bus.
package client
