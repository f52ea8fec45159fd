package admin_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/events"
	"github.com/kbus-limpet/limpet/server/admin"
)

// logged returns a service that keeps events, a client of it, and what logs events at a time.
func logged(t *testing.T) (*admin.Service, pb.AdminServiceClient, func(at time.Time, level slog.Level, name string, args ...any)) {
	service := &admin.Service{Node: newNode(t), Events: events.New()}
	h := service.Events.Handler(slog.DiscardHandler)
	c := pb.NewAdminServiceClient(serve(t, func(r grpc.ServiceRegistrar) { pb.RegisterAdminServiceServer(r, service) }))
	return service, c, func(at time.Time, level slog.Level, name string, args ...any) {
		r := slog.NewRecord(at, level, name, 0)
		r.Add(args...)
		if err := h.Handle(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
}

// told returns what a call tells until it ends: the events, how many were missed before the
// first answer's end and after it, and how often it was whole.
func told(t *testing.T, c pb.AdminServiceClient, q *pb.WatchEventsRequest) (names []string, missed uint64) {
	t.Helper()
	stream, err := c.WatchEvents(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	whole, first := 0, true
	for ; ; first = false {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if (r.GetKeptSince() != nil) != first {
			t.Error("since when events are kept is told in another answer than the first")
		}
		for _, e := range r.GetEvents() {
			names = append(names, e.GetEvent())
		}
		missed += r.GetMissed()
		if r.GetWhole() {
			whole++
		}
	}
	if whole != 1 {
		t.Errorf("it was whole %d times", whole)
	}
	return names, missed
}

// Events are told by time, level, name, and since what is remembered.
func TestWatchEvents(t *testing.T) {
	service, c, log := logged(t)
	begin := time.Now().Add(-time.Hour)
	at := func(minute int) time.Time { return begin.Add(time.Duration(minute) * time.Minute) }
	log(at(0), slog.LevelInfo, "link up", "link", "a", "peer_network", 2)
	log(at(1), slog.LevelWarn, "link down", "link", "a")
	reload := service.Events.Next()
	log(at(2), slog.LevelInfo, "configuration changed", "what", "rules")
	service.Events.Reloaded(reload)
	log(at(3), slog.LevelError, "the bus failed", "error", "EIO")
	log(at(4), slog.LevelInfo, "link up", "link", "b")
	log(at(5), slog.LevelDebug, "message processed", "name", "$.Secret")
	since := func(minute int) *pb.WatchEventsRequest_Since {
		return &pb.WatchEventsRequest_Since{Since: timestamppb.New(at(minute))}
	}
	for _, x := range []struct {
		q    *pb.WatchEventsRequest
		want string
	}{
		{&pb.WatchEventsRequest{}, "link up, link down, configuration changed, the bus failed, link up"},
		{&pb.WatchEventsRequest{From: since(1), Until: timestamppb.New(at(3))}, "link down, configuration changed"},
		{&pb.WatchEventsRequest{From: since(1), Until: timestamppb.New(at(3)), Follow: true}, "link down, configuration changed"},
		{&pb.WatchEventsRequest{From: &pb.WatchEventsRequest_Last{Last: durationpb.New(57*time.Minute + 30*time.Second)}}, "the bus failed, link up"},
		{&pb.WatchEventsRequest{From: &pb.WatchEventsRequest_Mark{Mark: pb.EventMark_EVENT_MARK_RELOAD}}, "configuration changed, the bus failed, link up"},
		{&pb.WatchEventsRequest{From: &pb.WatchEventsRequest_Mark{Mark: pb.EventMark_EVENT_MARK_START}, Level: pb.EventLevel_EVENT_LEVEL_WARN}, "link down, the bus failed"},
		{&pb.WatchEventsRequest{Level: pb.EventLevel_EVENT_LEVEL_ERROR}, "the bus failed"},
		{&pb.WatchEventsRequest{Event: "link up"}, "link up, link up"},
		{&pb.WatchEventsRequest{Event: "link *"}, "link up, link down, link up"},
		{&pb.WatchEventsRequest{Event: "link"}, ""},
	} {
		if got, missed := told(t, c, x.q); strings.Join(got, ", ") != x.want || missed != 0 {
			t.Errorf("%v: %q, %d missed; want %q", x.q, got, missed, x.want)
		}
	}
	stream, err := c.WatchEvents(t.Context(), &pb.WatchEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	e := r.GetEvents()[0]
	if got := fmt.Sprint(e.GetNumber(), e.GetLevel(), e.GetAttributes()[1].GetKey(), e.GetAttributes()[1].GetValue()); !e.GetTime().AsTime().Equal(at(0)) || got != "1 EVENT_LEVEL_INFOpeer_network2" {
		t.Errorf("an event is %s at %v", got, e.GetTime().AsTime())
	}
	for _, q := range []*pb.WatchEventsRequest{
		{From: &pb.WatchEventsRequest_Since{Since: &timestamppb.Timestamp{Nanos: -1}}},
		{From: &pb.WatchEventsRequest_Last{Last: &durationpb.Duration{Nanos: 1, Seconds: -1}}},
		{From: &pb.WatchEventsRequest_Mark{Mark: 9}},
		{Until: &timestamppb.Timestamp{Nanos: -1}},
		{Level: 9},
	} {
		if stream, err := c.WatchEvents(t.Context(), q); err != nil {
			t.Fatal(err)
		} else if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", q, err)
		}
	}
}

// What comes is told too, until the service is closed.
func TestWatchEventsAsTheyCome(t *testing.T) {
	service, c, log := logged(t)
	stream, err := c.WatchEvents(t.Context(), &pb.WatchEventsRequest{Follow: true, Event: "link *"})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := stream.Recv(); err != nil || !r.GetWhole() || len(r.GetEvents()) > 0 {
		t.Fatalf("at first %v, %v", r, err)
	}
	log(time.Now(), slog.LevelInfo, "something else")
	log(time.Now(), slog.LevelInfo, "link up")
	if r, err := stream.Recv(); err != nil || r.GetWhole() || r.GetMissed() > 0 || r.GetEvents()[0].GetEvent() != "link up" {
		t.Fatalf("then %v, %v", r, err)
	}
	service.Close()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("in the end %v", err)
	}
}

// What is forgotten counts as missed if it may have been asked for; a reader that is slow is
// told as much.
func TestWatchEventsMissed(t *testing.T) {
	_, c, log := logged(t)
	begin := time.Now()
	const more = 100
	many := func(from int) {
		for i := range events.MaxEvents + more {
			log(begin.Add(time.Duration(from+i)*time.Second), slog.LevelInfo, "event")
		}
	}
	many(0)
	for _, x := range []struct {
		q           *pb.WatchEventsRequest
		got, missed int
	}{
		{&pb.WatchEventsRequest{}, events.MaxEvents, 0},
		{&pb.WatchEventsRequest{From: &pb.WatchEventsRequest_Mark{Mark: pb.EventMark_EVENT_MARK_START}}, events.MaxEvents, more},
		{&pb.WatchEventsRequest{From: &pb.WatchEventsRequest_Since{Since: timestamppb.New(begin.Add((more - 1) * time.Second))}}, events.MaxEvents, more},
		{&pb.WatchEventsRequest{From: &pb.WatchEventsRequest_Since{Since: timestamppb.New(begin.Add(more * time.Second))}}, events.MaxEvents, 0},
		{&pb.WatchEventsRequest{From: &pb.WatchEventsRequest_Since{Since: timestamppb.New(begin.Add((more + 10) * time.Second))}}, events.MaxEvents - 10, 0},
	} {
		if got, missed := told(t, c, x.q); len(got) != x.got || int(missed) != x.missed {
			t.Errorf("%v: %d, and %d missed; want %d and %d", x.q, len(got), missed, x.got, x.missed)
		}
	}

	// A reader that has stopped: whatever was not told is either told or counted.
	stream, err := c.WatchEvents(t.Context(), &pb.WatchEventsRequest{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 20
	for i := range rounds {
		many((i + 1) * 10_000)
	}
	last := uint64((events.MaxEvents + more) * (rounds + 1))
	next, missed := uint64(0), uint64(0)
	for next <= last {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if next > 0 {
			next += r.GetMissed()
			missed += r.GetMissed()
		}
		for _, e := range r.GetEvents() {
			if next > 0 && e.GetNumber() != next {
				t.Fatalf("event %d comes where %d should, with %d missed", e.GetNumber(), next, r.GetMissed())
			}
			next = e.GetNumber() + 1
		}
	}
	if missed == 0 {
		t.Error("nothing was missed, so this proves nothing")
	}
}

// A daemon without events says so.
func TestWatchNoEvents(t *testing.T) {
	c := pb.NewAdminServiceClient(serve(t, func(r grpc.ServiceRegistrar) { pb.RegisterAdminServiceServer(r, &admin.Service{Node: newNode(t)}) }))
	stream, err := c.WatchEvents(t.Context(), &pb.WatchEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Error(err)
	}
}
