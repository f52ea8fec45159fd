package client

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// A DropWatch tells of the messages that a daemon has dropped, and drops. It is to be closed.
type DropWatch struct {
	stream grpc.ServerStreamingClient[pb.WatchDropsResponse]
	cancel context.CancelFunc
}

// WatchDrops watches the messages that the daemon drops: those of which it keeps some come
// first, up to a response that is Whole. Nothing of theirs is lost to a slow program but what
// each one was: Untold counts these.
func (b *Bus) WatchDrops(ctx context.Context, q *pb.WatchDropsRequest) (*DropWatch, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := b.admin.WatchDrops(ctx, q)
	if err != nil {
		cancel()
		return nil, statusError("watch drops", q.GetName(), err)
	}
	return &DropWatch{stream, cancel}, nil
}

// Recv blocks until there is something to tell. It fails when the context of the watch ends,
// and the first time if the daemon refuses. One goroutine at a time may call it.
func (w *DropWatch) Recv() (*pb.WatchDropsResponse, error) {
	r, err := w.stream.Recv()
	if err != nil {
		return nil, statusError("watch drops", "", err)
	}
	return r, nil
}

// Close ends the watch. Closing again does nothing.
func (w *DropWatch) Close() { w.cancel() }

// OpenRequests returns a page of the requests on the bus that have no reply yet, oldest first.
func (b *Bus) OpenRequests(ctx context.Context, q *pb.ListOpenRequestsRequest) (*pb.ListOpenRequestsResponse, error) {
	r, err := b.admin.ListOpenRequests(ctx, q)
	if err != nil {
		return nil, statusError("open requests", q.GetName(), err)
	}
	return r, nil
}

// SlowRepliers returns the names whose requests have taken most time, at most so many; 0 is 20.
// That is counted from when somebody asks, and for a minute.
func (b *Bus) SlowRepliers(ctx context.Context, most uint32) (*pb.ListSlowRepliersResponse, error) {
	r, err := b.admin.ListSlowRepliers(ctx, &pb.ListSlowRepliersRequest{Max: most})
	if err != nil {
		return nil, statusError("slow repliers", "", err)
	}
	return r, nil
}
