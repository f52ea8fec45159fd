package link

// A Stream carries frames. Send and Recv are each called by one goroutine at a time; the
// other methods are safe for concurrent use, CloseSend after the last Send.
type Stream interface {
	// Send hands a frame over; it may block for flow control. When the stream has
	// ended, its error says why.
	Send(Frame) error
	// Recv blocks until a frame comes. It returns io.EOF only if the peer ended the
	// stream in order.
	Recv() (Frame, error)
	// Heard returns how many bytes have come from the peer, those of the transport's own
	// pings and of frames that are not whole yet included, so that a slow peer can be told
	// from a dead one. A stream that cannot know adds AliveBytes at each call. It is safe
	// for concurrent use.
	Heard() uint64
	// CloseSend tells the peer that nothing more will be sent, if the transport can. What
	// was sent before still arrives.
	CloseSend() error
	// Close ends the stream at once and unblocks Send and Recv. It may be called at any
	// time, and again.
	Close()
}

// A BufferedStream is one whose Send does not wait for the peer while the session is light.
type BufferedStream interface {
	Stream
	// Buffered does nothing.
	Buffered()
}
