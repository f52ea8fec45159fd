package wire

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// HopToProto returns h as protobuf; nil if it is nil.
func HopToProto(h *explain.Hop) *pb.ExplainHop {
	if h == nil {
		return nil
	}
	out := &pb.ExplainHop{
		Network: h.Network, Message: headerToProto(&h.Message), Rule: ruleToProto(h.Rule), Stop: stopToProto(h.Stop),
		Replier: recipientToProto(h.Replier), MoreListeners: h.MoreListeners, MoreBranches: h.MoreBranches,
	}
	for _, c := range h.Claims {
		out.Claims = append(out.Claims, &pb.ExplainClaim{Link: c.Link, Name: c.Name, Denied: c.Denied})
	}
	for i := range h.Listeners {
		out.Listeners = append(out.Listeners, recipientToProto(&h.Listeners[i]))
	}
	for i := range h.Branches {
		b := &h.Branches[i]
		one := &pb.ExplainBranch{
			Link: b.Link, Network: b.Network, Request: b.Request, Message: headerToProto(&b.Message), Rule: ruleToProto(b.Rule),
			Stop: stopToProto(b.Stop), End: pb.ExplainEnd(b.End), Why: b.Why, Next: HopToProto(b.Next),
		}
		if b.Took > 0 {
			one.Took = durationpb.New(b.Took)
		}
		out.Branches = append(out.Branches, one)
	}
	if h.Told != nil {
		out.Told = OutcomeToProto(h.Told)
	}
	return out
}

// OutcomeToProto returns o as protobuf.
func OutcomeToProto(o *explain.Outcome) *pb.ExplainOutcome {
	out := &pb.ExplainOutcome{Answer: o.Answer, Errno: o.Errno, Heard: o.Heard, Unseen: pb.ExplainEnd(o.Unseen)}
	if !o.By.IsZero() {
		out.By = &pb.ExplainAddress{Network: o.By.Network, Ksock: uint32(o.By.Local)}
	}
	return out
}

// headerToProto returns a message without data, nil for none.
func headerToProto(m *kbusdev.Message) *pb.Message {
	if m.Name == "" {
		return nil
	}
	out := new(pb.Message)
	ToProto(out, m, time.Time{})
	return out
}

func ruleToProto(j *explain.Judgement) *pb.ExplainRule {
	if j == nil {
		return nil
	}
	return &pb.ExplainRule{Action: j.Action, Allowed: j.Allowed, Rule: j.Rule, OfLink: j.OfLink, Text: j.Text}
}

func stopToProto(s *explain.Stop) *pb.ExplainStop {
	if s == nil {
		return nil
	}
	return &pb.ExplainStop{Reason: s.Reason, Answer: s.Answer, Errno: s.Errno}
}

func recipientToProto(r *explain.Recipient) *pb.ExplainRecipient {
	if r == nil {
		return nil
	}
	return &pb.ExplainRecipient{Ksock: uint32(r.Ksock), Binding: r.Binding, Link: r.Link, Denied: ruleToProto(r.Denied), NoRoom: r.NoRoom}
}

// hopFromProto returns the hop that a peer has sent.
func hopFromProto(in *pb.ExplainHop) *explain.Hop {
	if in == nil {
		return nil
	}
	h := &explain.Hop{
		Network: in.GetNetwork(), Message: headerFromProto(in.GetMessage()), Rule: ruleFromProto(in.GetRule()), Stop: stopFromProto(in.GetStop()),
		MoreListeners: in.GetMoreListeners(), MoreBranches: in.GetMoreBranches(),
	}
	for _, c := range in.GetClaims() {
		h.Claims = append(h.Claims, explain.Claim{Link: c.GetLink(), Name: c.GetName(), Denied: c.GetDenied()})
	}
	if r := in.GetReplier(); r != nil {
		replier := recipientFromProto(r)
		h.Replier = &replier
	}
	for _, l := range in.GetListeners() {
		h.Listeners = append(h.Listeners, recipientFromProto(l))
	}
	for _, b := range in.GetBranches() {
		h.Branches = append(h.Branches, explain.Branch{
			Link: b.GetLink(), Network: b.GetNetwork(), Request: b.GetRequest(), Message: headerFromProto(b.GetMessage()), Rule: ruleFromProto(b.GetRule()),
			Stop: stopFromProto(b.GetStop()), End: endFromProto(b.GetEnd()), Why: b.GetWhy(), Took: max(b.GetTook().AsDuration(), 0), Next: hopFromProto(b.GetNext()),
		})
	}
	if t := in.GetTold(); t != nil {
		h.Told = &explain.Outcome{
			By:     kbusdev.Address{Network: t.GetBy().GetNetwork(), Local: kbusdev.KsockID(t.GetBy().GetKsock())},
			Answer: t.GetAnswer(), Errno: t.GetErrno(), Heard: t.GetHeard(), Unseen: endFromProto(t.GetUnseen()),
		}
	}
	return h
}

// headerFromProto returns a message of which nothing but its header and name is of interest:
// it is no reply, and no bind event.
func headerFromProto(in *pb.Message) kbusdev.Message {
	if in.GetName() == "" {
		return kbusdev.Message{}
	}
	var m kbusdev.Message
	FromProto(&m, in, time.Time{})
	m.InReplyTo, m.Data, m.Event, m.Expires, m.Trace = kbusdev.MsgID{}, nil, nil, time.Time{}, nil
	return m
}

func ruleFromProto(r *pb.ExplainRule) *explain.Judgement {
	if r == nil {
		return nil
	}
	return &explain.Judgement{Action: r.GetAction(), Allowed: r.GetAllowed(), Rule: r.GetRule(), OfLink: r.GetOfLink(), Text: r.GetText()}
}

func stopFromProto(s *pb.ExplainStop) *explain.Stop {
	if s == nil {
		return nil
	}
	return &explain.Stop{Reason: s.GetReason(), Answer: s.GetAnswer(), Errno: s.GetErrno()}
}

func recipientFromProto(r *pb.ExplainRecipient) explain.Recipient {
	return explain.Recipient{Ksock: kbusdev.KsockID(r.GetKsock()), Binding: r.GetBinding(), Link: r.GetLink(), Denied: ruleFromProto(r.GetDenied()), NoRoom: r.GetNoRoom()}
}

// endFromProto returns an end of a peer's; one that this version does not know is Hidden.
func endFromProto(e pb.ExplainEnd) explain.End {
	if e < 0 || e > pb.ExplainEnd(explain.Hidden) {
		return explain.Hidden
	}
	return explain.End(e)
}

func questionToProto(q *link.Question) *pb.ExplainQuestion {
	return &pb.ExplainQuestion{
		Id: q.ID, Message: headerToProto(&q.Message), Hops: q.Hops, MaxBytes: q.Bytes, WithinMs: uint32(q.Within.Milliseconds()),
	}
}

func questionFromProto(q *pb.ExplainQuestion) *link.Question {
	return &link.Question{Question: explain.Question{
		ID: q.GetId(), Message: headerFromProto(q.GetMessage()), Hops: min(q.GetHops(), explain.MaxHops), Bytes: min(q.GetMaxBytes(), explain.MaxAnswer),
		Within: min(time.Duration(q.GetWithinMs())*time.Millisecond, explain.MaxWithin),
	}}
}

// maxParts bounds the hops of an answer with all that they have. An honest one is bounded by
// Hop.Size, and has fewer.
const maxParts = explain.MaxAnswer / 24

// answerFromProto returns an answer. The error is a *link.Error: it is larger or deeper than
// answers are.
func answerFromProto(a *pb.ExplainAnswer) (link.Frame, error) {
	n := proto.Size(a)
	if parts, ok := countParts(a.GetHop(), explain.MaxHops); n > explain.MaxAnswer || parts > maxParts || !ok {
		return nil, link.Errorf(link.Protocol, "an explanation of %d bytes and %d parts, at most %d and %d are allowed, over at most %d links", n, parts, explain.MaxAnswer, maxParts, explain.MaxHops)
	}
	return &link.Answer{ID: a.GetId(), Hop: hopFromProto(a.GetHop())}, nil
}

// countParts counts what a hop has, and what lies behind it; ok is false if that is more than
// so many links away.
func countParts(h *pb.ExplainHop, links int) (n int, ok bool) {
	n, ok = 1+len(h.GetClaims())+len(h.GetListeners())+len(h.GetBranches()), links >= 0
	for _, b := range h.GetBranches() {
		if b.GetNext() != nil && ok {
			var more int
			more, ok = countParts(b.GetNext(), links-1)
			n += more
		}
	}
	return n, ok
}
