package limpet_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/recent"
	"github.com/kbus-limpet/limpet/limpet/trace"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// tracedByHand is byHand, attached, with its spans.
func tracedByHand(t *testing.T, now time.Time) (*limpet.Epoch, *[]*trace.Span) {
	t.Helper()
	spans := new([]*trace.Span)
	e := limpet.NewEpoch(limpet.EpochConfig{
		Config: limpet.Config{
			Pattern: "$.*", MaxMessages: 100, Grace: 30 * time.Second, RequestHold: 5 * time.Second,
			StallTimeout: 5 * time.Second, WaitTimeout: time.Second,
		},
		NetworkID: 1, PeerNetworkID: 2, Ksock: 9,
		Session: link.SessionConfig{WindowMessages: 100, WindowBytes: 1 << 20},
		IDs:     recent.New(now),
		Totals:  new(limpet.Totals),
		Tracing: trace.Config{Share: 1, To: func(s *trace.Span) { *spans = append(*spans, s) }},
	}, now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	return e, spans
}

// only returns the one span there is, with what it must be.
func only(t *testing.T, spans *[]*trace.Span, kind trace.Kind, outcome kbusdev.Outcome, reason string, took time.Duration) *trace.Span {
	t.Helper()
	if len(*spans) != 1 {
		t.Fatalf("%d spans", len(*spans))
	}
	s := (*spans)[0]
	if s.Kind != kind || s.Outcome != outcome || s.Reason != reason || s.End.Sub(s.Start) != took {
		t.Errorf("%+v, want %v %v %q after %v", s, kind, outcome, reason, took)
	}
	return s
}

// A request that nobody takes before its deadline has a span that says so.
func TestSpanOfExpiredRequest(t *testing.T) {
	now := time.Unix(1000, 0)
	e, spans := tracedByHand(t, now)
	e.Detach(now, link.Errorf(link.Stalled, "cut"))
	m := request(1)
	m.Expires = now.Add(time.Second)
	e.FromBus(now, []*kbusdev.Message{m})
	carryOut(e, now.Add(time.Second), allGoesWell)
	only(t, spans, trace.Client, kbusdev.Expired, "RemoteError.Expired", time.Second)

	e, spans = tracedByHand(t, now)
	e.FromBus(now.Add(2*time.Second), []*kbusdev.Message{m}) // late already
	only(t, spans, trace.Client, kbusdev.Expired, "RemoteError.Expired", 0)
}

// fromPeer gives the epoch the peer's request as its first message.
func fromPeer(t *testing.T, e *limpet.Epoch, now time.Time, m *kbusdev.Message) {
	t.Helper()
	m.ID.Network, m.OrigFrom = 2, kbusdev.Address{Network: 2, Local: m.From}
	if err := e.TakeFrame(now, &link.Batch{First: 1, Messages: []kbusdev.Message{*m}}); err != nil {
		t.Fatal(err)
	}
}

// The peer's request: refused by our bus, answered there, or cut off.
func TestSpanOfPeersRequest(t *testing.T) {
	now := time.Unix(1000, 0)
	later := now.Add(time.Second)
	theirs := &kbusdev.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1}

	e, spans := tracedByHand(t, now)
	fromPeer(t, e, now, request(1))
	carryOut(e, now, refuse)
	only(t, spans, trace.Server, kbusdev.NeverRan, "RemoteError.EADDRNOTAVAIL", 0)

	e, spans = tracedByHand(t, now)
	m := request(1)
	m.Trace = theirs
	fromPeer(t, e, now, m)
	done := carryOut(e, now, allGoesWell)
	if len(done) != 1 || done[0].Msg.Trace == nil || done[0].Msg.Trace.TraceID != theirs.TraceID || done[0].Msg.Trace.SpanID == theirs.SpanID {
		t.Fatalf("our bus is given %+v", done)
	}
	e.FromBus(later, []*kbusdev.Message{{Name: "$.Ask", To: 9, From: 7, InReplyTo: m.ID}})
	if s := only(t, spans, trace.Server, kbusdev.Answered, "", time.Second); s.Parent != theirs.SpanID || s.Context != *done[0].Msg.Trace {
		t.Errorf("%+v", s)
	}

	e, spans = tracedByHand(t, now)
	fromPeer(t, e, now, request(1))
	carryOut(e, now, allGoesWell)
	e.End(later, link.Errorf(link.GoingAway, "enough"), false)
	carryOut(e, later, allGoesWell)
	only(t, spans, trace.Server, 0, "", time.Second)
}

// When the bus fails nobody can be answered, and the span ends without an answer.
func TestSpanWhenTheBusFails(t *testing.T) {
	now := time.Unix(1000, 0)
	e, spans := tracedByHand(t, now)
	e.FromBus(now, []*kbusdev.Message{request(1)})
	later := now.Add(time.Second)
	e.End(later, link.Errorf(link.BusFailed, "gone"), false)
	carryOut(e, later, func(*translate.Effect) syscall.Errno { return syscall.EIO })
	e.Closed()
	only(t, spans, trace.Client, 0, "", time.Second)
}

// An asker that is gone ends the span, and announcements have none.
func TestSpanOfAskerThatIsGone(t *testing.T) {
	now := time.Unix(1000, 0)
	e, spans := tracedByHand(t, now)
	e.FromBus(now, []*kbusdev.Message{request(1), {ID: kbusdev.MsgID{Serial: 2}, Name: "$.News", From: 5}})
	if f, _, _ := e.NextFrame(now); f == nil || f.(*link.Batch).Messages[0].Trace == nil {
		t.Fatalf("the peer is sent %+v", f)
	}
	fromPeer(t, e, now, &kbusdev.Message{ID: kbusdev.MsgID{Serial: 9}, Name: "$.News", From: 5})
	reply := kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: 3}, Name: "$.Ask", InReplyTo: kbusdev.MsgID{Network: 1, Serial: 1}}
	if err := e.TakeFrame(now, &link.Batch{First: 2, Messages: []kbusdev.Message{reply}}); err != nil {
		t.Fatal(err)
	}
	carryOut(e, now.Add(time.Second), refuse)
	only(t, spans, trace.Client, kbusdev.Answered, "", time.Second)
}

func refuse(*translate.Effect) syscall.Errno { return syscall.EADDRNOTAVAIL }
