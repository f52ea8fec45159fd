package admin

import (
	"cmp"
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/tap"
)

// TapFormat is the version of the records' form.
const TapFormat = 1

// How a tap is sent.
const (
	// tapPause is how long to wait for more when something has come, so that a busy link
	// wakes nobody for each message.
	tapPause = 5 * time.Millisecond
	// A response has no more than so many records, nor, but for its last one, bytes.
	maxTapRecords = 256
	maxTapBytes   = 32 << 10
)

// Tap shows the messages that pass the links. Messages do not wait for it: what a caller does
// not take in time is counted.
func (s *Service) Tap(q *pb.TapRequest, stream grpc.ServerStreamingServer[pb.TapResponse]) error {
	cfg, err := tapConfig(q)
	if err != nil {
		return err
	}
	t, err := s.Node.Taps().Open(cfg)
	switch {
	case errors.Is(err, tap.TooManyTapsError{}):
		if s.Count != nil {
			s.Count("taps")
		}
		return status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		return status.Error(codes.InvalidArgument, err.Error())
	}
	defer t.Close()
	start := &pb.TapStart{
		Format: TapFormat, Version: s.Version, NetworkId: s.Node.NetworkID(), Bus: s.Node.Bus().String(),
		MaxRate: cmp.Or(q.GetMaxRate(), tap.DefaultRate), MaxData: q.GetMaxData(), Time: timestamppb.Now(),
	}
	if err := stream.Send(&pb.TapResponse{Start: start}); err != nil {
		return err
	}
	shown := shownTap{service: s, tap: t, stream: stream, withData: q.GetMaxData() > 0}
	for {
		if err := shown.send(); err != nil {
			return err
		}
		if err := await(stream.Context(), s, t.Wait()); err != nil {
			return err
		}
		if err := await(stream.Context(), s, time.After(tapPause)); err != nil {
			return err
		}
	}
}

// await waits for c. The error is that of a call that is over.
func await[T any](ctx context.Context, s *Service, c <-chan T) error {
	select {
	case <-c:
		return nil
	case <-s.ended():
		return status.Error(codes.Unavailable, "the daemon is stopping")
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func tapConfig(q *pb.TapRequest) (tap.Config, error) {
	cfg := tap.Config{
		Names: q.GetNames(), Links: q.GetLinks(), Reasons: q.GetReasons(), Direction: tap.Direction(q.GetDirection()),
		Rate: int(min(q.GetMaxRate(), 1<<30)), MaxData: int(min(q.GetMaxData(), 1<<30)),
	}
	if d := q.GetDirection(); d < 0 || d > pb.TapDirection_TAP_DIRECTION_FROM_PEER {
		return cfg, status.Errorf(codes.InvalidArgument, "direction: %d is neither to the peer nor from it", d)
	}
	for _, k := range q.GetKinds() {
		if k <= 0 || k > pb.TapKind_TAP_KIND_BIND_EVENT {
			return cfg, status.Errorf(codes.InvalidArgument, "kinds: %d is none", k)
		}
		cfg.Kinds = append(cfg.Kinds, tap.Kind(k))
	}
	return cfg, nil
}

// A shownTap is a tap that is sent to a caller.
type shownTap struct {
	service  *Service
	tap      *tap.Tap
	stream   grpc.ServerStreamingServer[pb.TapResponse]
	withData bool
	told     tap.Lost
	made     madeRecords
}

// send sends what the tap has kept, and what it has lost. What the caller may see is asked
// for each time, so that new rules hold at once.
func (s *shownTap) send() error {
	var policy *rules.Policy
	if s.service.PolicyOf != nil {
		policy = s.service.PolicyOf(s.stream.Context())
	}
	if v := policy.Admin(); !v.Allow {
		return status.Error(codes.PermissionDenied, "the caller may not administer this daemon any more: "+rules.Denial(v))
	}
	for more := true; more; {
		r, size := new(pb.TapResponse), 0
		for more = true; more && len(r.GetRecords()) < maxTapRecords && size < maxTapBytes; {
			more = s.tap.Next(func(rec *tap.Record) {
				out := s.made.record(rec)
				s.addData(out, rec, policy)
				r.Records = append(r.Records, out)
				size += 128 + len(rec.Link) + len(rec.Read.Name) + len(rec.Given.Name) + len(out.GetData())
			})
		}
		if lost := s.tap.Lost(); lost != s.told {
			s.told = lost
			r.Lost = &pb.TapLost{OverRate: lost.OverRate, NoRoom: lost.NoRoom}
		}
		if len(r.GetRecords()) == 0 && r.GetLost() == nil {
			return nil
		}
		if err := s.stream.Send(r); err != nil {
			return err
		}
	}
	return nil
}

// addData adds the data that the caller may see.
func (s *shownTap) addData(out *pb.TapRecord, r *tap.Record, policy *rules.Policy) {
	switch {
	case !s.withData || r.Size == 0:
	case r.Here != "" && policy.May(rules.Tap, r.Here):
		out.Data = r.Data
	default:
		out.DataWithheld = policy != nil
	}
}

// A slab makes values some at a time.
type slab[T any] struct{ left []T }

func (s *slab[T]) one() *T {
	if len(s.left) == 0 {
		s.left = make([]T, 16)
	}
	x := &s.left[0]
	s.left = s.left[1:]
	return x
}

// madeRecords makes what is sent of records.
type madeRecords struct {
	records slab[pb.TapRecord]
	times   slab[timestamppb.Timestamp]
	headers slab[pb.Message]
}

func (m *madeRecords) record(r *tap.Record) *pb.TapRecord {
	out, at := m.records.one(), m.times.one()
	at.Seconds, at.Nanos = r.At.Unix(), int32(r.At.Nanosecond())
	out.Time, out.Link, out.Direction, out.Verdict = at, r.Link, pb.TapDirection(r.Direction), pb.TapVerdict(r.Verdict)
	out.Own, out.Kind, out.Size, out.Read, out.Given = r.Own, pb.TapKind(r.Kind), uint32(r.Size), m.header(&r.Read), m.header(&r.Given)
	if r.Verdict == tap.Dropped {
		out.Reason, out.Loss = r.Reason.String(), r.Reason.Loss()
	}
	if e := r.Event; e != nil {
		for _, h := range []*pb.Message{out.GetRead(), out.GetGiven()} {
			if h != nil {
				h.BindEvent = &pb.BindEvent{IsBind: e.Bound, Binder: uint32(e.Binder), Name: e.Name}
			}
		}
	}
	return out
}

// header returns a header, nil if there is none.
func (m *madeRecords) header(h *tap.Header) *pb.Message {
	if h.IsZero() {
		return nil
	}
	out := m.headers.one()
	out.IdNetwork, out.IdSerial = h.ID.Network, h.ID.Serial
	out.InReplyToNetwork, out.InReplyToSerial = h.InReplyTo.Network, h.InReplyTo.Serial
	out.To, out.From = uint32(h.To), uint32(h.From)
	out.OrigFromNetwork, out.OrigFromLocal = h.OrigFrom.Network, uint32(h.OrigFrom.Local)
	out.FinalToNetwork, out.FinalToLocal = h.FinalTo.Network, uint32(h.FinalTo.Local)
	out.Flags, out.Name = uint32(h.Flags), h.Name
	return out
}
