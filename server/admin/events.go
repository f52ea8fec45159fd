package admin

import (
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/events"
)

// An eventFilter says which events are asked for.
type eventFilter struct {
	from         uint64    // the number of the first; 0 is the oldest that is kept
	since, until time.Time // zero is for ever
	level        slog.Level
	name         string // "" is any
}

// eventFilterOf reads a request. The error is a status.
func eventFilterOf(q *pb.WatchEventsRequest, ring *events.Ring, now time.Time) (*eventFilter, error) {
	f := &eventFilter{name: q.GetEvent()}
	switch from := q.GetFrom().(type) {
	case *pb.WatchEventsRequest_Since:
		if err := from.Since.CheckValid(); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "since: %v", err)
		}
		f.since = from.Since.AsTime()
	case *pb.WatchEventsRequest_Last:
		if err := from.Last.CheckValid(); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "last: %v", err)
		}
		f.since = now.Add(-from.Last.AsDuration())
	case *pb.WatchEventsRequest_Mark:
		switch from.Mark {
		case pb.EventMark_EVENT_MARK_START:
			f.from = 1
		case pb.EventMark_EVENT_MARK_RELOAD:
			f.from = ring.LatestReload()
		default:
			return nil, status.Errorf(codes.InvalidArgument, "mark %v is none that this daemon remembers: START or RELOAD", from.Mark)
		}
	}
	if q.GetUntil() != nil {
		if err := q.GetUntil().CheckValid(); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "until: %v", err)
		}
		f.until = q.GetUntil().AsTime()
	}
	switch q.GetLevel() {
	case pb.EventLevel_EVENT_LEVEL_UNSPECIFIED, pb.EventLevel_EVENT_LEVEL_INFO:
		f.level = slog.LevelInfo
	case pb.EventLevel_EVENT_LEVEL_WARN:
		f.level = slog.LevelWarn
	case pb.EventLevel_EVENT_LEVEL_ERROR:
		f.level = slog.LevelError
	default:
		return nil, status.Errorf(codes.InvalidArgument, "level %v is none of INFO, WARN and ERROR", q.GetLevel())
	}
	return f, nil
}

// first returns the number of the first event to look at: what is kept no more counts as
// missed if it may have been asked for.
func (f *eventFilter) first(keptSince time.Time, oldest uint64) uint64 {
	switch {
	case f.from > 0:
		return f.from
	case !f.since.IsZero() && oldest > 1 && !f.since.After(keptSince):
		return 1
	default:
		return oldest
	}
}

func (f *eventFilter) matches(e *events.Event) bool {
	if e.Level < f.level || e.Time.Before(f.since) || !f.until.IsZero() && !e.Time.Before(f.until) {
		return false
	}
	if begin, many := strings.CutSuffix(f.name, "*"); many {
		return strings.HasPrefix(e.Name, begin)
	}
	return f.name == "" || f.name == e.Name
}

// WatchEvents streams the events that are kept, and those that come. Nothing is kept for a
// caller that does not read: it is told how many events it has missed when it does.
func (s *Service) WatchEvents(q *pb.WatchEventsRequest, stream grpc.ServerStreamingServer[pb.WatchEventsResponse]) error {
	if s.Events == nil {
		return status.Error(codes.FailedPrecondition, "this daemon keeps no events")
	}
	now := time.Now()
	f, err := eventFilterOf(q, s.Events, now)
	if err != nil {
		return err
	}
	var over <-chan time.Time
	if !f.until.IsZero() && q.GetFollow() {
		timer := time.NewTimer(f.until.Sub(now))
		defer timer.Stop()
		over = timer.C
	}
	keptSince, oldest := s.Events.KeptSince()
	r := &pb.WatchEventsResponse{KeptSince: timestamppb.New(keptSince)}
	whole := false
	for next := f.first(keptSince, oldest); ; r = new(pb.WatchEventsResponse) {
		page := s.Events.Read(next)
		next = page.Next
		r.Missed = page.Missed
		for i := range page.Events {
			if e := &page.Events[i]; f.matches(e) {
				r.Events = append(r.Events, eventToProto(e))
			}
		}
		if page.Added != nil && !whole {
			r.Whole, whole = true, true
		}
		if len(r.GetEvents()) > 0 || r.GetMissed() > 0 || r.GetWhole() || r.GetKeptSince() != nil {
			if err := stream.Send(r); err != nil {
				return err
			}
		}
		switch {
		case page.Added == nil:
			continue
		case !q.GetFollow():
			return nil
		}
		select {
		case <-page.Added:
		case <-over:
			return nil
		case <-s.ended():
			return status.Error(codes.Unavailable, "the daemon is stopping")
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

func eventToProto(e *events.Event) *pb.Event {
	out := &pb.Event{Number: e.Number, Time: timestamppb.New(e.Time), Level: eventLevel(e.Level), Event: e.Name}
	for _, a := range e.Attributes {
		out.Attributes = append(out.Attributes, &pb.EventAttribute{Key: a.Key, Value: a.Value})
	}
	return out
}

func eventLevel(l slog.Level) pb.EventLevel {
	switch {
	case l >= slog.LevelError:
		return pb.EventLevel_EVENT_LEVEL_ERROR
	case l >= slog.LevelWarn:
		return pb.EventLevel_EVENT_LEVEL_WARN
	default:
		return pb.EventLevel_EVENT_LEVEL_INFO
	}
}
