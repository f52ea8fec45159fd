// Package trace decides which requests are traced, and what their spans are. It is pure:
// times and messages go in, spans that have ended come out. Even ids need no chance.
//
// A request that crosses a link has a span at each end: a Client from when a limpet has read
// it from its bus until it gives the bus an answer, and a Server from when the other limpet
// has it for its bus until it has an answer for the peer. The Client is the Server's parent,
// and the Server that brought a request to a bus is the parent of the Client that takes it
// on. So a request over three buses is one tree of four spans.
//
// What the message carries says which trace and parent that are. A device has no room for
// it, so without it both are derived from what every limpet knows, the message's id: the
// trace from the id and the day, a Server's span from the trace, the id and the network. That
// makes one tree too, as long as all limpets sample alike.
package trace
