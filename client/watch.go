package client

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// Changes are what a Watch tells at once. Gone comes before Here.
type Changes[T any] struct {
	// Restart: this program was so slow that everything told before is void, and all there
	// is is told again.
	Restart bool
	// Gone are what was told before and is there no longer.
	Gone []T
	// Here are what is new, or has changed.
	Here []T
	// Whole: now everything has been told that was there at the beginning or restart.
	Whole bool
}

// A Watch tells what there is, and then what changes. What comes and goes again before
// the program calls Recv may not be told. It is to be closed.
type Watch[T any] struct {
	recv   func() (Changes[T], error)
	cancel context.CancelFunc
}

// Recv blocks until there is something to tell. It fails when the context of the watch
// ends, and the first time if there is nothing to watch. One goroutine at a time may call it.
func (w *Watch[T]) Recv() (Changes[T], error) { return w.recv() }

// Close ends the watch. Closing again does nothing.
func (w *Watch[T]) Close() { w.cancel() }

// watch opens a stream; changes makes a value of each response.
func watch[T, Q, R any](ctx context.Context, op, name string, q *Q, changes func(*R) Changes[T],
	open func(context.Context, *Q, ...grpc.CallOption) (grpc.ServerStreamingClient[R], error),
) (*Watch[T], error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := open(ctx, q)
	if err != nil {
		cancel()
		return nil, statusError(op, name, err)
	}
	recv := func() (Changes[T], error) {
		r, err := stream.Recv()
		if err != nil {
			return Changes[T]{}, statusError(op, name, err)
		}
		return changes(r), nil
	}
	return &Watch[T]{recv: recv, cancel: cancel}, nil
}

// WatchBindings watches the bindings whose names have a name in common with the name or
// wildcard given; "" is all. Only the embedded bus can be watched: for a device the error
// of Recv is a StatusError with codes.Unimplemented.
func (b *Bus) WatchBindings(ctx context.Context, name string) (*Watch[kbusdev.Binding], error) {
	return watch(ctx, "watch bindings", name, &pb.WatchBindingsRequest{Name: name}, func(r *pb.WatchBindingsResponse) Changes[kbusdev.Binding] {
		return Changes[kbusdev.Binding]{r.GetRestart(), each(r.GetUnbound(), bindingFromProto), each(r.GetBound(), bindingFromProto), r.GetWhole()}
	}, b.bus.WatchBindings)
}

// A ReplierBinding is a name that somebody replies to.
type ReplierBinding struct {
	// Ksock is on the daemon's bus: the limpet's, if the replier is on another.
	Ksock kbusdev.KsockID
	// Name is what it has bound, perhaps a wildcard.
	Name string
	// Link is the name of the link over which the replier is reached, and NetworkID the
	// network of its peer; "" and 0 if the replier is on the daemon's bus.
	Link      string
	NetworkID uint32
}

// WatchRepliers watches who replies to a name, or to any name of a wildcard: on the
// daemon's bus, and over its links on any other. As WatchBindings it needs the embedded
// bus.
func (b *Bus) WatchRepliers(ctx context.Context, name string) (*Watch[ReplierBinding], error) {
	return watch(ctx, "watch repliers", name, &pb.WatchRepliersRequest{Name: name}, func(r *pb.WatchRepliersResponse) Changes[ReplierBinding] {
		return Changes[ReplierBinding]{r.GetRestart(), each(r.GetGone(), replierFromProto), each(r.GetHere(), replierFromProto), r.GetWhole()}
	}, b.bus.WatchRepliers)
}

// WatchLinks watches the daemon's links, or the one of that name; "" is all. Of what is
// gone only the name is told.
func (b *Bus) WatchLinks(ctx context.Context, name string) (*Watch[*pb.LinkStatus], error) {
	named := func(name string) *pb.LinkStatus { return &pb.LinkStatus{Name: name} }
	return watch(ctx, "watch links", name, &pb.WatchLinksRequest{Link: name}, func(r *pb.WatchLinksResponse) Changes[*pb.LinkStatus] {
		return Changes[*pb.LinkStatus]{Gone: each(r.GetRemoved(), named), Here: r.GetLinks(), Whole: r.GetWhole()}
	}, b.admin.WatchLinks)
}

func bindingFromProto(b *pb.Binding) kbusdev.Binding {
	return kbusdev.Binding{Ksock: kbusdev.KsockID(b.GetKsock()), Role: kbusdev.Role(b.GetIsReplier()), Name: b.GetName()}
}

func replierFromProto(r *pb.Replier) ReplierBinding {
	return ReplierBinding{Ksock: kbusdev.KsockID(r.GetKsock()), Name: r.GetName(), Link: r.GetLink(), NetworkID: r.GetNetworkId()}
}

func each[A, B any](all []A, f func(A) B) []B {
	var out []B
	for _, a := range all {
		out = append(out, f(a))
	}
	return out
}
