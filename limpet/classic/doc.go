// Package classic speaks the socket protocol of upstream's limpets, the C and the
// Python one, so that limpetd can be paired with them.
//
// Each side starts with the four bytes "HELO" and its network id, then sends entire
// messages: sixteen 32-bit words, the name padded with NULs to a multiple of four,
// at least one, the data padded likewise if there is any, and a last guard word. All
// words are big-endian, those at the start of a bind event's data too.
//
// The protocol has no acknowledgements, window, pings, or reasons for an end. A Stream is
// a link.Stream all the same: a session with NoAcks does without them. PROTOCOL.md
// describes what is lost by that.
package classic
