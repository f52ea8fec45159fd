// Package limpet joins a bus to others: it reads the bus, carries what the rules of
// package translate say over a link, and keeps the ledger: every request taken from the
// bus ends in exactly one reply there, whatever dies.
//
// # Three lifetimes
//
// A Node is one bus with its network id. A Peering is another daemon: an address that we
// dial, or a peer that dials us. It keeps its name, its totals and its latest losses for
// as long as it is known. An Epoch begins with a greeting between two instances, and
// ends when one of them is gone, or drains, or stays away for longer than the grace. It
// holds the Ksock, the rules, the ledger and the session. A stream is no more than what
// the epoch is attached to: when it breaks, the epoch waits, and the next stream goes on
// where it broke.
//
// # Who runs what
//
// An Epoch is pure. These goroutines carry for it, and each takes the epoch's lock only
// for the moment in which it asks or tells:
//
//   - the reader (live.read): bus to FromBus. A full window stops it.
//   - the writer (live.write): Dos to the bus, outcomes back. It also calls Tick, and
//     ends the epoch: it stops the reader, and closes the Ksock.
//   - two for each stream (link.Attach): NextFrame to the stream, and the stream to
//     TakeFrame. The second also makes the Ksock listen to what the peer wants, on a bus
//     where that waits for nothing: the other peers are told only then.
//   - one for each node (listeners.run), which follows who listens on the bus.
//
// Peering.Dial and Node.Accept run in the goroutine of whoever calls them, which is the one
// that sends, and return when the stream has broken.
//
// # Locks
//
// In the order in which they may be taken:
//
//	slow.asking                held while the bus is told to tell of replies
//	Peering.turn, live.claim   held while a stream is judged, or attached; each waits for others
//	Node.mu                    peerings, topology, interest
//	live.listening             what a Ksock listens to
//	live.mu                    the epoch
//	Node.idsMu, origins.mu     the memory of ids; by which link networks are reached
//	listeners.mu, slow.mu, those of drops, live.claimMu, Node.changeMu, explains.mu   nothing is taken while they are held
//
// The bus has a lock of its own. No operation of the bus is called with one of these
// locks held, but for what the bus calls back (listeners, which takes listeners.mu
// alone), and for what a Ksock listens to, which is changed under live.listening, and under
// Node.mu when there are new rules.
package limpet
