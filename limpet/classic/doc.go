// Package classic speaks the socket protocol of upstream's limpets, the C and the
// Python one, so that limpetd can be paired with them.
//
// Each side starts with the four bytes "HELO" and its network id, then sends entire
// messages: sixteen 32-bit words, the name padded with NULs to a multiple of four,
// at least one, the data padded likewise if there is any, and a last guard word. All
// words are big-endian, those at the start of a bind event's data too.
//
// The protocol knows no acks, no window, no reasons and no farewell. A Stream
// stands in for what is missing, so that the session of limpet/link, and with it
// the limpet, need not know.
package classic
