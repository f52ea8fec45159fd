package admin

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// foretellWithin is how long other daemons may take to answer, unless the caller says
// otherwise.
const foretellWithin = 5 * time.Second

// Explain tells what would become of a message.
func (s *Service) Explain(ctx context.Context, q *pb.ExplainRequest) (*pb.ExplainResponse, error) {
	query, err := s.query(ctx, q)
	if err != nil {
		return nil, err
	}
	h, err := s.Node.Explain(ctx, query)
	switch {
	case errors.Is(err, limpet.ErrNoLink):
		return nil, noLink(q.GetLink())
	case errors.Is(err, limpet.ErrNotUp):
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, limpet.ErrTooMany):
		return nil, status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		return nil, status.FromContextError(err).Err()
	}
	outcome := h.Outcome()
	r := &pb.ExplainResponse{Outcome: wire.OutcomeToProto(&outcome), Hop: wire.HopToProto(h)}
	for _, a := range h.Hearers() {
		r.Hearers = append(r.Hearers, &pb.ExplainAddress{Network: a.Network, Ksock: uint32(a.Local)})
	}
	return r, nil
}

// query returns what is asked.
func (s *Service) query(ctx context.Context, q *pb.ExplainRequest) (out limpet.Query, err error) {
	if err := kbusdev.CheckName(q.GetName()); err != nil {
		return out, status.Errorf(codes.InvalidArgument, "name %.100q: %v; it is \"$\" and words of letters and digits joined by dots, without a wildcard", q.GetName(), err)
	}
	out = limpet.Query{Message: kbusdev.Message{Name: q.GetName()}, Link: q.GetLink(), Network: q.GetNetwork(), Within: foretellWithin}
	m := &out.Message
	switch q.GetKind() {
	case pb.ExplainKind_EXPLAIN_KIND_ANNOUNCEMENT:
	case pb.ExplainKind_EXPLAIN_KIND_UNSPECIFIED, pb.ExplainKind_EXPLAIN_KIND_REQUEST:
		m.Flags = kbusdev.WantReply
	case pb.ExplainKind_EXPLAIN_KIND_STATEFUL_REQUEST:
		m.Flags, m.To = kbusdev.WantReply, kbusdev.KsockID(q.GetTo())
		m.FinalTo = kbusdev.Address{Network: q.GetFinalToNetwork(), Local: kbusdev.KsockID(q.GetFinalToLocal())}
		if m.To == 0 && m.FinalTo.Local == 0 {
			return out, status.Error(codes.InvalidArgument, "a stateful request insists on a replier: final_to_local, or to, says which Ksock")
		}
		if m.FinalTo.Network == s.Node.NetworkID() && q.GetLink() == "" {
			m.FinalTo.Network = 0
		}
	default:
		return out, status.Errorf(codes.InvalidArgument, "kind %d is unknown here", q.GetKind())
	}
	if q.GetKind() != pb.ExplainKind_EXPLAIN_KIND_STATEFUL_REQUEST && (q.GetTo() != 0 || q.GetFinalToLocal() != 0) {
		return out, status.Error(codes.InvalidArgument, "only a stateful request insists on a replier: leave to and final_to_local out, or ask for that kind")
	}
	if q.GetWithin() != nil {
		out.Within = q.GetWithin().AsDuration()
		if err := q.GetWithin().CheckValid(); err != nil || out.Within <= 0 || out.Within > explain.MaxWithin {
			return out, status.Errorf(codes.InvalidArgument, "within %v: it must be more than 0 and at most %v", out.Within, explain.MaxWithin)
		}
	}
	switch {
	case q.GetLink() != "" && q.GetIdentity() != "":
		return out, status.Errorf(codes.InvalidArgument, "identity %.100q: who brings a message over a link is its peer; leave out the identity or the link", q.GetIdentity())
	case q.GetLink() == "" && q.GetNetwork() != 0:
		return out, status.Errorf(codes.InvalidArgument, "network %d: a program sends on its own bus; name the link that would bring it", q.GetNetwork())
	case q.GetLink() == "" && s.SenderOf != nil:
		if out.Sender, err = s.SenderOf(ctx, q.GetIdentity()); err != nil {
			return out, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	return out, nil
}
