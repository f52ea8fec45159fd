package client

import (
	"context"
	"errors"
	"io"
	"iter"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// Events returns the daemon's latest events, which are the lines of its log that are no
// details, and with follow those that come, until ctx ends or the caller leaves the loop. The
// error is the last that comes.
func (b *Bus) Events(ctx context.Context, q *pb.WatchEventsRequest) iter.Seq2[*pb.WatchEventsResponse, error] {
	return func(yield func(*pb.WatchEventsResponse, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := b.admin.WatchEvents(ctx, q)
		for err == nil {
			var r *pb.WatchEventsResponse
			if r, err = stream.Recv(); err == nil && !yield(r, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, statusError("events", "", err))
		}
	}
}
