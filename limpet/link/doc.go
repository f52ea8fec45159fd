// Package link is the conversation between two limpets: what a Greeting must say,
// the Session that numbers, acknowledges, bounds and resumes messages, and Attach,
// which carries frames between a session and a stream.
//
// A Session is pure: it has no goroutine, lock, clock or I/O. It lives longer than a
// stream. When a stream breaks, the session is detached and keeps what the peer has
// not acknowledged; the next stream rewinds it to what the peer has received. Frames
// are Go values; package wire makes them protobuf, package classic the bytes of
// upstream's limpets. PROTOCOL.md describes when each frame may be sent.
package link
