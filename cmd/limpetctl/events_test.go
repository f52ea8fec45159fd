package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

func steadyEvents() []*pb.Event {
	return []*pb.Event{
		{Number: 7, Time: timestamppb.New(noon), Level: pb.EventLevel_EVENT_LEVEL_WARN, Event: "link down", Attributes: []*pb.EventAttribute{
			{Key: "link", Value: "connect hostb:7000"}, {Key: "reason", Value: "EOF"}, {Key: "kept", Value: ""}, {Key: "reason", Value: `said "no"`},
		}},
		{Number: 8, Time: timestamppb.New(noon), Level: pb.EventLevel_EVENT_LEVEL_INFO, Event: "limpetd stops"},
	}
}

func (steadyDaemon) WatchEvents(q *pb.WatchEventsRequest, s grpc.ServerStreamingServer[pb.WatchEventsResponse]) error {
	return s.Send(&pb.WatchEventsResponse{Events: steadyEvents(), Whole: true, KeptSince: timestamppb.New(noon)})
}

// An event is a line like one of the log.
func TestEventsAsText(t *testing.T) {
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"--api", api, "events", "--since", "2026-11-26T11:59:00Z"}, &out, &errOut); code != exitOK {
		t.Fatalf("%d: %s", code, &errOut)
	}
	at := noon.Local().Format("2006-01-02 15:04:05.000")
	want := at + ` WARN  link down link="connect hostb:7000" reason=EOF kept="" reason="said \"no\""` + "\n" + at + " INFO  limpetd stops\n"
	if out.String() != want {
		t.Errorf("it prints\n%swant\n%s", &out, want)
	}
	if want := "limpetctl: the daemon was started at " + at + "; what was before is in its log\n"; errOut.String() != want {
		t.Errorf("it says %q, want %q", &errOut, want)
	}
}

// What cannot be printed is said beside it.
func TestEventsMissed(t *testing.T) {
	at := noon.Local().Format("2006-01-02 15:04:05.000")
	for _, x := range []struct {
		r     *pb.WatchEventsResponse
		since time.Time
		want  string
	}{
		{&pb.WatchEventsResponse{KeptSince: timestamppb.New(noon)}, time.Time{}, ""},
		{&pb.WatchEventsResponse{KeptSince: timestamppb.New(noon)}, noon, ""},
		{&pb.WatchEventsResponse{KeptSince: timestamppb.New(noon)}, noon.Add(-1), "the daemon was started at " + at},
		{&pb.WatchEventsResponse{KeptSince: timestamppb.New(noon), Missed: 4}, time.Time{}, "the daemon keeps only what was after " + at},
		{&pb.WatchEventsResponse{Missed: 4}, noon, "4 events were forgotten before they were printed"},
		{&pb.WatchEventsResponse{}, noon.Add(-1), ""},
	} {
		var b strings.Builder
		new(eventsCommand).sayMissed(&b, x.r, x.since)
		if got := b.String(); (got == "") != (x.want == "") || !strings.Contains(got, x.want) {
			t.Errorf("of %v, since %v, it says %q", x.r, x.since, got)
		}
	}
}

// Flags say what is asked.
func TestEventsRequest(t *testing.T) {
	now := time.Date(2026, 11, 26, 3, 11, 30, 0, time.UTC)
	for _, x := range []struct {
		e    eventsCommand
		want string
	}{
		{eventsCommand{}, ""},
		{eventsCommand{since: "reload"}, "mark:EVENT_MARK_RELOAD"},
		{eventsCommand{since: "start", follow: true, level: "error", event: "link *"}, "mark:EVENT_MARK_START level:EVENT_LEVEL_ERROR event:\"link *\" follow:true"},
		{eventsCommand{since: "10m"}, "last:{seconds:600}"},
		{eventsCommand{since: "03:10", until: "03:15"}, "since:{seconds:1795662600} until:{seconds:1795662900}"},
		{eventsCommand{until: "03:15"}, "until:{seconds:1795576500}"},
		{eventsCommand{until: "03:15", follow: true}, "until:{seconds:1795662900} follow:true"},
	} {
		q, _, err := x.e.request(now)
		if got := strings.Join(strings.Fields(q.String()), " "); err != nil || got != x.want {
			t.Errorf("%+v asks %q, %v; want %q", x.e, got, err, x.want)
		}
	}
	for _, e := range []eventsCommand{{since: "noon"}, {until: "reload"}, {level: "debug"}} {
		if _, _, err := e.request(now); err == nil {
			t.Errorf("%+v is taken", e)
		}
	}
}
