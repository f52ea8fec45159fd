package client

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Listener hears messages.
type Listener struct {
	stream grpc.ServerStreamingClient[pb.ListenResponse]
	cancel context.CancelFunc
	missed atomic.Uint64
	// Ksock is what listens on the bus.
	Ksock kbusdev.KsockID
}

// Missed returns how many messages this listener had missed, because its queue on the
// bus was full, when the daemon sent the last one that Recv returned. It is safe for
// concurrent use. Of a device it is always 0, for that does not tell.
func (l *Listener) Missed() uint64 { return l.missed.Load() }

// ListenConfig is what to listen to.
type ListenConfig struct {
	// Names and wildcards, at least one.
	Names []string
	// MaxMessages bounds what may wait on the bus; 0 is the bus's own bound.
	MaxMessages uint32
	// OnlyOnce: a message that several names match is heard once.
	OnlyOnce bool
}

// Listen binds the names, and returns when that is done. The Listener is to be closed.
func (b *Bus) Listen(ctx context.Context, cfg ListenConfig) (*Listener, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := b.bus.Listen(ctx, &pb.ListenRequest{Names: cfg.Names, MaxMessages: cfg.MaxMessages, OnlyOnce: cfg.OnlyOnce})
	var first *pb.ListenResponse
	if err == nil {
		first, err = stream.Recv()
	}
	if err != nil {
		cancel()
		return nil, statusError("listen", fmt.Sprint(cfg.Names), err)
	}
	return &Listener{stream: stream, cancel: cancel, Ksock: kbusdev.KsockID(first.GetKsock())}, nil
}

// Recv waits for the next message. It ends with the context given to Listen.
func (l *Listener) Recv() (*kbusdev.Message, error) {
	r, err := l.stream.Recv()
	if err != nil {
		return nil, statusError("listen", "", err)
	}
	l.missed.Store(r.GetMissed())
	return fromProto(r.GetMessage()), nil
}

// Close stops listening. Closing again does nothing.
func (l *Listener) Close() { l.cancel() }
