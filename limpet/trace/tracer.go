package trace

import (
	"strings"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Config is what a Tracer is made with.
type Config struct {
	// Network is the id of our network, Peer that of the peer.
	Network, Peer uint32
	// Share of the requests that carry no trace context is traced, from 0 to 1. For those
	// that carry one it has been decided.
	Share float64
	// MaxOpen bounds the spans that have not ended; requests beyond it have none.
	MaxOpen int
	// To is given each span that has ended. It must not wait. Required.
	To func(*Span)
}

// A Tracer makes the spans of one epoch. A nil Tracer makes none. It is not safe for
// concurrent use.
type Tracer struct {
	cfg  Config
	open map[key]*Span
}

type key struct {
	kind Kind
	id   kbusdev.MsgID
}

// New returns a Tracer without spans.
func New(cfg Config) *Tracer { return &Tracer{cfg: cfg, open: make(map[key]*Span)} }

// Begin begins the span of a request, if it is traced, and makes the span what the message
// carries. m has ids as between limpets, is ours to change, and is otherwise not kept.
func (t *Tracer) Begin(now time.Time, kind Kind, m *kbusdev.Message) {
	if t == nil || len(t.open) >= t.cfg.MaxOpen {
		return
	}
	if s := t.span(now, kind, m); s != nil {
		t.open[key{kind, m.ID}] = s
		m.Trace = &s.Context
	}
}

// Refused makes the span of a request that had its answer at once, in the replier's place.
func (t *Tracer) Refused(now time.Time, kind Kind, m, answer *kbusdev.Message) {
	if t == nil {
		return
	}
	if s := t.span(now, kind, m); s != nil {
		t.end(now, s, answer)
	}
}

// span returns a span that begins now; nil if the request is not traced.
func (t *Tracer) span(now time.Time, kind Kind, m *kbusdev.Message) *Span {
	id := m.ID
	if id.Network == 0 {
		id.Network = t.cfg.Network
	}
	var own kbusdev.TraceContext
	var parent [8]byte
	if c := m.Trace; c != nil {
		if !c.Sampled() {
			return nil
		}
		own, parent = *c, c.SpanID
	} else {
		own.TraceID, own.Flags = traceOf(id, now), 1
		if !samples(own.TraceID, t.cfg.Share) {
			return nil
		}
		if kind == Client && id.Network != t.cfg.Network { // a limpet has brought it to our bus
			parent = spanOf(own.TraceID, id, Server, t.cfg.Network, 0)
		}
	}
	own.SpanID = spanOf(own.TraceID, id, kind, t.cfg.Network, t.cfg.Peer)
	return &Span{Context: own, Parent: parent, Kind: kind, Name: clip(m.Name), ID: id, Network: t.cfg.Network, Peer: t.cfg.Peer, Start: now}
}

// clip bounds a name in a span: spans wait in a queue, and a peer's names have no other bound
// than its messages.
func clip(name string) string {
	if len(name) > kbusdev.MaxNameLen {
		return strings.Clone(name[:kbusdev.MaxNameLen])
	}
	return name
}

// Answered ends the span of the request that a reply answers, if there is one. Network 0 in
// the reply is ours.
func (t *Tracer) Answered(now time.Time, kind Kind, reply *kbusdev.Message) {
	if t == nil {
		return
	}
	k := key{kind, reply.InReplyTo}
	if k.id.Network == 0 {
		k.id.Network = t.cfg.Network
	}
	if s := t.open[k]; s != nil {
		delete(t.open, k)
		t.end(now, s, reply)
	}
}

// Cut ends all spans of a kind that are open: the link has ended.
func (t *Tracer) Cut(now time.Time, kind Kind) {
	if t == nil {
		return
	}
	for k, s := range t.open {
		if k.kind == kind {
			delete(t.open, k)
			t.end(now, s, nil)
		}
	}
}

func (t *Tracer) end(now time.Time, s *Span, answer *kbusdev.Message) {
	s.End = now
	if answer != nil {
		s.Answer = clip(answer.Name)
		s.Outcome, s.Reason = kbusdev.OutcomeOf(answer)
		s.Reason = clip(s.Reason)
	}
	t.cfg.To(s)
}
