package link

// A Stream carries frames. Send and Recv are each called by one goroutine at a time.
type Stream interface {
	// Send hands a frame over; it may block for flow control. When the stream has
	// ended, its error says why.
	Send(Frame) error
	// Recv blocks until a frame comes. It returns io.EOF only if the peer ended the
	// stream in order.
	Recv() (Frame, error)
	// Heard returns a number that changes whenever bytes come from the peer, of
	// whatever frame, so that a slow peer can be told from a dead one. It is safe for
	// concurrent use.
	Heard() uint64
	// CloseSend says that nothing more will be sent, if that can be said.
	CloseSend() error
	// Close ends the stream at once and unblocks Send and Recv. It may be called at any
	// time, and again.
	Close()
}
