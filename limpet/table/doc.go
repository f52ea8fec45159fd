// Package table is who replies to, and listens for, what, and where: Repliers on
// one bus, the Interest behind all links, a Digest to compare two tables by, and the
// Pending changes that a peer is to be told. It is pure: no goroutine, lock, clock
// or I/O. None of its types is safe for concurrent use.
//
// Names are valid binding names (kbusdev.CheckBindName), names of messages valid
// names (kbusdev.CheckName); the caller checks what a stranger sends.
package table
