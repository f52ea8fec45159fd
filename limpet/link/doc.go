// Package link is one session between two limpets over a stream of frames:
// hello, batches in sequence, acks, the window, topology, drain. It knows neither
// gRPC nor a bus; whoever opens the stream hands it in.
//
// One goroutine sends and one receives. Receiving waits neither for the bus nor
// for our own sending, so that acks always get through and two full windows
// cannot block each other. The frames are described in PROTOCOL.md.
package link
