// Package tap shows what passes the links of a node to those who look: for each message one
// record when this limpet has handed it on, or has ended it.
//
// It never holds a message up. A Point, which belongs to a link, offers each record to each
// Tap there is; a Tap takes what its filter matches, as long as its rate and its ring allow,
// and counts the rest. No lock is taken for that: a ring has a slot for each record, and
// who offers claims the next one by an atomic operation. When nobody looks, a message costs
// a look at one atomic pointer.
package tap
