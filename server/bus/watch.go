package bus

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// WatchBindings streams what is bound, and what changes.
func (s *Service) WatchBindings(r *pb.WatchBindingsRequest, stream grpc.ServerStreamingServer[pb.WatchBindingsResponse]) error {
	accept := func(kbusdev.Binding) bool { return true }
	if name := r.GetName(); name != "" {
		if err := checkPattern(name); err != nil {
			return err
		}
		accept = func(b kbusdev.Binding) bool { return kbusdev.Overlap(name, b.Name) }
	}
	return s.watch(stream.Context(), accept, func(c kbusdev.BindingChanges) error {
		return stream.Send(&pb.WatchBindingsResponse{
			Restart: c.Restart, Unbound: each(c.Unbound, bindingToProto), Bound: each(c.Bound, bindingToProto), Whole: c.Whole,
		})
	})
}

// WatchRepliers streams who replies to a name, and what changes.
func (s *Service) WatchRepliers(r *pb.WatchRepliersRequest, stream grpc.ServerStreamingServer[pb.WatchRepliersResponse]) error {
	name := r.GetName()
	if err := checkPattern(name); err != nil {
		return err
	}
	accept := func(b kbusdev.Binding) bool { return b.Role == kbusdev.Replier && kbusdev.Overlap(name, b.Name) }
	told := make(linksTold)
	return s.watch(stream.Context(), accept, func(c kbusdev.BindingChanges) error {
		if c.Restart {
			clear(told)
		}
		return stream.Send(&pb.WatchRepliersResponse{
			Restart: c.Restart,
			Gone:    each(c.Unbound, func(b kbusdev.Binding) *pb.Replier { return told.gone(b) }),
			Here:    each(c.Bound, func(b kbusdev.Binding) *pb.Replier { return told.here(b, s.LinkOf) }),
			Whole:   c.Whole,
		})
	})
}

// A watcher is a call that watches bindings. Its fields are guarded by Service.mu.
type watcher struct {
	visit
	policy *rules.Policy
	stale  context.CancelFunc // the policy has changed
}

// watch tells what the bus tells, until the caller or the service ends. When the rules make
// another policy of the caller it is told all again. No memory is used for a caller that does
// not read, beyond what the bus keeps for it.
func (s *Service) watch(ctx context.Context, accept func(kbusdev.Binding) bool, tell func(kbusdev.BindingChanges) error) error {
	bus, err := s.watcher()
	if err != nil {
		return err
	}
	x := &watcher{visit: s.visitOf(ctx), stale: func() {}}
	if !s.addWatcher(x) {
		return status.Errorf(codes.ResourceExhausted, "%d calls watch this bus already; end one of them", maxWatches)
	}
	defer s.removeWatcher(x)
	for again := false; ; again = true {
		if err := s.watchOnce(ctx, x, bus, accept, again, tell); err != nil {
			return err
		}
	}
}

// watchOnce watches by the policy that the caller has now. It returns nil when that changes.
func (s *Service) watchOnce(ctx context.Context, x *watcher, bus kbusdev.BindingWatcher, asked func(kbusdev.Binding) bool, again bool, tell func(kbusdev.BindingChanges) error) error {
	same, stale := context.WithCancel(ctx)
	defer stale()
	s.mu.Lock()
	x.policy, x.stale = s.policyOf(x.identity), stale // under the lock, so that RulesChanged misses nobody
	policy := x.policy
	s.mu.Unlock()
	accept := asked
	if policy != nil {
		accept = func(b kbusdev.Binding) bool { return policy.Sees(b.Name) && asked(b) }
	}
	w := bus.WatchBindings(accept)
	defer w.Close()
	defer context.AfterFunc(s.ctx, w.Close)()
	for same.Err() == nil {
		c, err := w.Next(same)
		switch {
		case err == nil:
		case ctx.Err() == nil && same.Err() != nil:
			return nil
		default:
			return refused(err)
		}
		c.Restart, again = c.Restart || again, false
		if err := tell(c); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return refused(err)
	}
	return nil
}

// addWatcher reports whether there may be one more.
func (s *Service) addWatcher(x *watcher) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.watchers) >= maxWatches {
		return false
	}
	s.watchers[x] = struct{}{}
	s.come(&x.visit)
	return true
}

func (s *Service) removeWatcher(x *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, x)
}

func checkPattern(name string) error {
	if err := kbusdev.CheckBindName(name); err != nil {
		return refused(&kbusdev.OpError{Op: "watch", Name: name, Err: err})
	}
	return nil
}

func each[A, B any](all []A, f func(A) B) []B {
	var out []B
	for _, a := range all {
		out = append(out, f(a))
	}
	return out
}

// A Link is a link whose limpet has a Ksock on the bus.
type Link struct {
	// Name is the link's.
	Name string
	// NetworkID is the peer's.
	NetworkID uint32
}

// linksTold are the links of the repliers that a watcher has been told of: when a
// replier is gone its link may be too.
type linksTold map[kbusdev.KsockID]*linkTold

type linkTold struct {
	Link
	names int // told and not gone
}

func (t linksTold) here(b kbusdev.Binding, linkOf func(kbusdev.KsockID) (Link, bool)) *pb.Replier {
	l := t[b.Ksock]
	if l == nil {
		l = new(linkTold)
		if linkOf != nil {
			if link, ok := linkOf(b.Ksock); ok {
				l.Link = link
			}
		}
		t[b.Ksock] = l
	}
	l.names++
	return replierToProto(b, l)
}

func (t linksTold) gone(b kbusdev.Binding) *pb.Replier {
	l := t[b.Ksock]
	if l.names--; l.names == 0 {
		delete(t, b.Ksock)
	}
	return replierToProto(b, l)
}

func replierToProto(b kbusdev.Binding, l *linkTold) *pb.Replier {
	return &pb.Replier{Ksock: uint32(b.Ksock), Name: b.Name, Link: l.Name, NetworkId: l.NetworkID}
}
