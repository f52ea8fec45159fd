// Package translate is the rules of a limpet as a pure machine: a message goes
// in, from the bus or from the peer, and what is to be done comes out as effects.
// It has no goroutine, lock, clock or I/O; time comes in with Tick.
//
// One Machine serves one epoch: one Ksock, one peer, one session with its
// resumptions. Rules that differ from the upstream limpet are marked "ours", and
// each has a test that names it.
package translate
