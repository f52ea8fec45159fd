// Package program is what a program and a daemon say to each other when the program has a
// Ksock of the daemon's bus: operations one way, events the other, in the batches of a
// session of package link. It also has what decides when an operation may be carried out.
//
// The package is pure: it has no goroutine, lock, clock or I/O. Package wire makes its
// values protobuf; PROTOCOL.md describes them.
package program
