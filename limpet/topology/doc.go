// Package topology is what a node knows of the networks it can reach, and by
// which of its links. It judges who may join, and keeps what each peer is to be
// told. It is pure: no goroutine, lock, clock or I/O.
//
// Buses that are linked form a tree. A network that could be reached by two ways
// would get every message twice, so the second way is refused: as a Loop if both
// ways lead to the same daemon, as a Clash if two daemons have the same id.
package topology
