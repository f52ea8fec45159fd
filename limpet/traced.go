package limpet

import (
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/trace"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// These tell the tracer what the rules have made of a message. They are called only if there
// is one.

// traceFromBus is for a message read from our bus, and what becomes of it.
func (e *Epoch) traceFromBus(now time.Time, m *kbusdev.Message, own *translate.Effect) {
	switch {
	case own.Kind == translate.Forward && m.WantsUsToReply():
		e.tracer.Begin(now, trace.Client, &own.Msg)
	case own.Kind == translate.Forward && m.IsReply():
		e.tracer.Answered(now, trace.Server, &own.Msg)
	case own.Kind == translate.Send && own.Reason == translate.Expired:
		e.tracer.Refused(now, trace.Client, m, &own.Msg)
	}
}

// traceFromPeer is for a message of the peer's, and what becomes of it. A request that is
// refused for the way it came has its span elsewhere.
func (e *Epoch) traceFromPeer(now time.Time, m *kbusdev.Message, own *translate.Effect) {
	switch {
	case !m.WantsUsToReply():
	case own.Kind == translate.Send:
		e.tracer.Begin(now, trace.Server, &own.Msg)
	case own.Kind == translate.Bounce && (own.Reason == translate.Expired || own.Reason == translate.AnsweredHere):
		e.tracer.Refused(now, trace.Server, m, &own.Msg)
	}
}

// traceOutcome is for an answer that our bus has taken, or whose asker is gone.
func (e *Epoch) traceOutcome(now time.Time, d *Do) {
	m := &d.Effect.Msg
	if d.Effect.Kind != translate.Send || !m.IsReply() {
		return
	}
	if gone := d.Errno == syscall.EADDRNOTAVAIL || d.Errno == syscall.ECONNREFUSED; gone || d.Errno == 0 {
		e.tracer.Answered(now, trace.Client, m)
	}
}
