package client

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// A Tap shows the messages that pass a daemon's links. It is to be closed.
type Tap struct {
	stream grpc.ServerStreamingClient[pb.TapResponse]
	cancel context.CancelFunc
}

// Tap shows what the request says, from when Recv returns for the first time. It needs the
// right to administer the daemon, and for data that to tap.
func (b *Bus) Tap(ctx context.Context, q *pb.TapRequest) (*Tap, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := b.admin.Tap(ctx, q)
	if err != nil {
		cancel()
		return nil, statusError("tap", "", err)
	}
	return &Tap{stream: stream, cancel: cancel}, nil
}

// Recv blocks until there is something to show. The first time that is who shows it, or an
// error if nothing can be shown. It fails when the context of the tap ends. One goroutine at
// a time may call it.
func (t *Tap) Recv() (*pb.TapResponse, error) {
	r, err := t.stream.Recv()
	if err != nil {
		return nil, statusError("tap", "", err)
	}
	return r, nil
}

// Close ends the tap. Closing again does nothing.
func (t *Tap) Close() { t.cancel() }
