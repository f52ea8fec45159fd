package bus_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/server/bus"
)

// A plainBus hides what the embedded bus can do beyond a device.
type plainBus struct{ kbusdev.Bus }

func bindMany(t *testing.T, b kbusdev.Bus, n int) {
	t.Helper()
	k, err := b.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	for i := range n {
		if err := k.Bind(fmt.Sprintf("$.Many.N%d", i), kbusdev.Role(i%2 == 0)); err != nil {
			t.Fatal(err)
		}
	}
}

// The pages of any bus are its list.
func TestListBindingsInPages(t *testing.T) {
	m := membus.New()
	bindMany(t, m, 1000)
	want, _ := m.Bindings()
	for _, b := range []kbusdev.Bus{m, plainBus{m}} {
		s := bus.New(b)
		defer s.Close()
		for _, size := range []uint32{0, 1, 7, 1000, 5000} {
			q := &pb.ListBindingsRequest{PageSize: size}
			var got []kbusdev.Binding
			for {
				r, err := s.ListBindings(t.Context(), q)
				if err != nil || size > 0 && len(r.GetBindings()) > int(size) {
					t.Fatalf("size %d: a page of %d, %v", size, len(r.GetBindings()), err)
				}
				for _, x := range r.GetBindings() {
					got = append(got, kbusdev.Binding{Ksock: kbusdev.KsockID(x.GetKsock()), Role: kbusdev.Role(x.GetIsReplier()), Name: x.GetName()})
				}
				if q.PageToken = r.GetNextPageToken(); q.GetPageToken() == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%T, size %d: %d bindings, not the list of %d", b, size, len(got), len(want))
			}
		}
		for _, token := range []string{"!", "0", "-1", "zzzzzzzzzzzzzzzzzzzzzzzz"} {
			if _, err := s.ListBindings(t.Context(), &pb.ListBindingsRequest{PageToken: token}); status.Code(err) != codes.InvalidArgument {
				t.Errorf("token %q: %v", token, err)
			}
		}
		if r, err := s.ListBindings(t.Context(), &pb.ListBindingsRequest{PageToken: "zzzzzzz"}); err != nil || len(r.GetBindings()) > 1000 {
			t.Errorf("a token of no answer: %d bindings, %v", len(r.GetBindings()), err)
		}
	}
}

// An answer is bounded whatever is asked for.
func TestPagesAreBounded(t *testing.T) {
	m := membus.New()
	k, err := m.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	long := "$." + string(slices.Repeat([]byte{'a'}, 990))
	for i := range 2000 {
		if err := k.Bind(fmt.Sprintf("%s%d", long, i), kbusdev.Listener); err != nil {
			t.Fatal(err)
		}
	}
	s := bus.New(m)
	defer s.Close()
	r, err := s.ListBindings(t.Context(), &pb.ListBindingsRequest{PageSize: 1 << 31})
	if err != nil || len(r.GetBindings()) > 1<<20/990 || r.GetNextPageToken() == "" {
		t.Errorf("%d bindings in one answer, %v", len(r.GetBindings()), err)
	}
}

// WatchBindings and WatchRepliers tell what is there, then that this was all, then each
// change.
func TestWatch(t *testing.T) {
	f := serve(t)
	var linkGone atomic.Bool
	f.service.LinkOf = func(k kbusdev.KsockID) (bus.Link, bool) {
		return bus.Link{Name: "network 2", NetworkID: 2}, k == 2 && !linkGone.Load()
	}
	api := pb.NewBusServiceClient(f.api)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	local, limpet := f.replier(t, "$.Clock.Now"), f.replier(t, "$.Clock.*")
	all, err := api.WatchBindings(ctx, &pb.WatchBindingsRequest{Name: "$.*"})
	if err != nil {
		t.Fatal(err)
	}
	repliers, err := api.WatchRepliers(ctx, &pb.WatchRepliersRequest{Name: "$.Clock.Now"})
	if err != nil {
		t.Fatal(err)
	}
	wantAll := func(want string) {
		t.Helper()
		r, err := all.Recv()
		if got := fmt.Sprint(names(r.GetUnbound()), names(r.GetBound()), r.GetWhole()); err != nil || got != want {
			t.Errorf("bindings: %s, %v; want %s", got, err, want)
		}
	}
	wantRepliers := func(want string) {
		t.Helper()
		r, err := repliers.Recv()
		if got := fmt.Sprint(who(r.GetGone()), who(r.GetHere()), r.GetWhole()); err != nil || got != want {
			t.Errorf("repliers: %s, %v; want %s", got, err, want)
		}
	}
	wantAll("[] [$.Clock.Now $.Clock.*] true")
	wantRepliers(`[] [$.Clock.Now/1// $.Clock.*/2/network 2] true`)
	if err := local.Bind("$.Other", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	wantAll("[] [$.Other] false")
	if err := local.Bind("$.Clock.%", kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	wantAll("[] [$.Clock.%] false")
	if err := local.Unbind("$.Clock.Now", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	wantAll("[$.Clock.Now] [] false")
	wantRepliers("[$.Clock.Now/1//] [] false")
	linkGone.Store(true) // the link goes first
	if err := limpet.Close(); err != nil {
		t.Fatal(err)
	}
	wantRepliers("[$.Clock.*/2/network 2] [] false")

	for _, name := range []string{"", "x", "$.*.A"} {
		bad, err := api.WatchRepliers(ctx, &pb.WatchRepliersRequest{Name: name})
		if err == nil {
			_, err = bad.Recv()
		}
		wantStatus(t, err, codes.InvalidArgument, "EBADMSG", "is not a name")
	}
	f.service.Close()
	for err == nil {
		_, err = all.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a watch of a service that is closed ends with %v", err)
	}
}

func names(all []*pb.Binding) (out []string) {
	for _, b := range all {
		out = append(out, b.GetName())
	}
	return out
}

func who(all []*pb.Replier) (out []string) {
	for _, r := range all {
		where := "/"
		if r.GetLink() != "" {
			where = r.GetLink()
		}
		out = append(out, fmt.Sprintf("%s/%d/%s", r.GetName(), r.GetKsock(), where))
	}
	return out
}

// A bus that cannot tell says so.
func TestWatchOfADevice(t *testing.T) {
	s := bus.New(plainBus{membus.New()})
	defer s.Close()
	err := s.WatchBindings(&pb.WatchBindingsRequest{}, noStream[pb.WatchBindingsResponse](t))
	wantStatus(t, err, codes.Unimplemented, "", "only the embedded bus does")
	err = s.WatchRepliers(&pb.WatchRepliersRequest{Name: "$.A"}, noStream[pb.WatchRepliersResponse](t))
	wantStatus(t, err, codes.Unimplemented, "", "only the embedded bus does")
}

// noStream returns a stream that nothing is sent on.
func noStream[R any](t *testing.T) grpc.ServerStreamingServer[R] {
	return &grpc.GenericServerStream[struct{}, R]{ServerStream: silent{ctx: t.Context()}}
}

type silent struct {
	grpc.ServerStream
	ctx context.Context
}

func (s silent) Context() context.Context { return s.ctx }
func (s silent) SendMsg(any) error        { return nil }

// There are so many watches and no more; one that ends makes room.
func TestWatchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bus.New(membus.New())
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error)
		watch := func(ctx context.Context) {
			go func() {
				ended <- s.WatchBindings(&pb.WatchBindingsRequest{}, &grpc.GenericServerStream[struct{}, pb.WatchBindingsResponse]{ServerStream: silent{ctx: ctx}})
			}()
		}
		first, stop := context.WithCancel(ctx)
		watch(first)
		synctest.Wait()
		const most = 1024
		for range most {
			watch(ctx)
		}
		if err := <-ended; status.Code(err) != codes.ResourceExhausted {
			t.Errorf("one too many: %v", err)
		}
		synctest.Wait()
		stop()
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("the first: %v", err)
		}
		watch(ctx)
		synctest.Wait()
		cancel()
		for range most {
			if err := <-ended; status.Code(err) != codes.Canceled {
				t.Errorf("a watch ended with %v", err)
			}
		}
	})
}
