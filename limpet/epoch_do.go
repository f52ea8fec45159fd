package limpet

import (
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/tap"
	"github.com/kbus-limpet/limpet/limpet/trace"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A Do is one thing to be done on the bus: Send, Bind or Unbind. Whoever does it sets
// Errno and gives it back to Outcomes.
type Do struct {
	// Effect says what. A Send with ALL_OR_WAIT that finds no room must be discarded at
	// once, with EAGAIN.
	Effect translate.Effect
	// Errno is how it ended: 0 if it was done.
	Errno syscall.Errno

	seq     uint64 // of the peer's message whose fate this decides; 0 is none
	size    int
	arrived time.Time  // when it was put behind others
	from    *heldQueue // it was held up before
	read    *reading   // how the peer brought it, if somebody looks
}

// Dos appends what is to be done on the bus now to dst, in order, at most about
// readBatch of them. They must all be done, and given to Outcomes, before Dos is
// called again.
func (e *Epoch) Dos(now time.Time, dst []Do) []Do {
	if r := e.rec; r != nil {
		return r.dos(e, now, dst)
	}
	e.Tick(now)
	dst = append(dst, e.todo...)
	clear(e.todo)
	e.todo = e.todo[:0]
	for late := true; late; { // what was behind one that is late is due at once
		late = false
		var expired []Do
		dst, expired = e.held.due(now, dst)
		for i := range expired {
			late = true
			expired[i].Errno = syscall.ETIMEDOUT
			e.outcome(now, &expired[i])
		}
	}
	if len(dst) < readBatch {
		dst = e.fromPeer(now, dst)
	}
	if len(dst) == 0 && e.why != nil && !e.answered && e.session.Waiting() == 0 {
		dst = e.answerAll(dst)
	}
	e.doing = len(dst)
	return dst
}

// fromPeer translates messages that the peer has sent, until there is enough to do or
// one could be held up: what its sender sent later must wait for it. Messages that are
// dropped are no reason to stop, for nobody would be woken for those after them.
func (e *Epoch) fromPeer(now time.Time, dst []Do) []Do {
	for len(dst) < readBatch {
		if now.Before(e.bindsAt) && e.why == nil {
			return dst
		}
		first, msgs := e.session.Take(1)
		if len(msgs) == 0 {
			return dst
		}
		m := &msgs[0]
		e.counts.reads(m)
		if m.Event != nil {
			e.bindsAt = e.counts.binds.take(now, e.cfg.MaxNames)
		}
		if e.why != nil && (m.WantsUsToReply() || m.Event != nil) {
			// A request would be carried out, and its reply lost.
			e.fate(now, first, m.Size(), m, translate.LinkLost)
			continue
		}
		var mayWait bool
		dst, mayWait = e.translate(now, dst, first, m)
		e.counts.read.open = false
		if mayWait {
			return dst
		}
	}
	return dst
}

// translate applies the rules to one message of the peer's. mayWait reports that what
// its sender sent later must not be translated before the outcome is known.
func (e *Epoch) translate(now time.Time, dst []Do, seq uint64, m *kbusdev.Message) (_ []Do, mayWait bool) {
	size := m.Size() // as the session counts it
	facts := e.facts(m)
	if !m.IsReply() && m.Event == nil && !facts.Foreign && !facts.Denied && facts.Nameless == 0 { // else its id is still free for the one whose it is
		facts.BroughtBefore = e.cfg.IDs.Claim(m.ID, now)
	}
	fx := e.rules.FromPeer(e.fx[:0], m, facts)
	e.fx = fx[:0]
	if e.inspect != nil {
		for i := range fx {
			e.inspect("from peer", m, &fx[i])
		}
	}
	if e.tracer != nil {
		e.traceFromPeer(now, m, &fx[0])
	}
	if own := &fx[0]; own.Kind == translate.Send && !own.Own {
		d := Do{Effect: *own, seq: seq, size: size, read: e.counts.read.keep()}
		if !e.held.behind(now, &d) {
			dst = append(dst, d)
			mayWait = own.Msg.Flags&kbusdev.AllOrWait != 0
		}
		fx = fx[1:]
	} else {
		why := own.Reason
		if why == translate.NoReason {
			why = translate.BindEventUsed
		}
		e.fate(now, seq, size, m, why)
	}
	for i := range fx {
		switch fx[i].Kind {
		case translate.Send, translate.Bind, translate.Unbind:
			dst = append(dst, Do{Effect: fx[i]})
		default:
			e.apply(fx[i : i+1])
		}
	}
	return dst, mayWait
}

// facts returns what the rules must be told of a message of the peer's, but for whether it
// was brought before, and gives it the name that it has here.
func (e *Epoch) facts(m *kbusdev.Message) (facts translate.Facts) {
	if e.cfg.Renames != nil && m.Event == nil {
		facts.Nameless = e.nameHere(m)
	}
	if !m.IsReply() && m.Event == nil {
		facts.Foreign, facts.Denied = e.foreign(m), !e.rules.Admits(m)
	}
	if m.IsStateful() && m.WantsUsToReply() {
		facts.Replier = e.rules.Replier(m.Name)
	}
	return facts
}

// fate notes that a message of the peer's has ended; size is what it had when it came.
func (e *Epoch) fate(now time.Time, seq uint64, size int, m *kbusdev.Message, why translate.Reason) {
	e.counts.fromPeer(why, m)
	e.session.Decided(now, seq, size)
}

// Outcomes takes back what Dos gave, in its order, with Errno set.
func (e *Epoch) Outcomes(now time.Time, dos []Do) {
	if r := e.rec; r != nil {
		r.outcomes(e, now, dos)
		return
	}
	e.now = now
	for i := range dos {
		e.outcome(now, &dos[i])
		e.doing--
	}
}

func (e *Epoch) outcome(now time.Time, d *Do) {
	fx := &d.Effect
	if e.tracer != nil {
		e.traceOutcome(now, d)
	}
	switch {
	case fx.Kind == translate.Bind:
		e.apply(e.rules.BindDone(e.fx[:0], fx.Name, d.Errno))
	case fx.Kind == translate.Unbind:
		e.apply(e.rules.UnbindDone(e.fx[:0], fx.Name, d.Errno))
	case d.Errno == 0:
		if fx.Msg.IsReply() {
			e.rules.Sent(fx)
		}
		if fx.Own && e.counts.Tap.On() {
			e.counts.showOwn(tap.FromPeer, tap.Delivered, &fx.Msg)
		}
		e.decided(now, d, translate.NoReason)
	case d.Errno == syscall.EAGAIN && d.seq != 0 && e.why == nil && e.held.up(now, d, e.cfg.WaitTimeout):
		return // it is tried again
	default:
		after := e.rules.SendFailed(e.fx[:0], fx, d.Errno)
		why := translate.Refused
		for i := range after {
			if e.inspect != nil {
				e.inspect("refused by bus: "+kbusdev.ErrnoName(d.Errno), &fx.Msg, &after[i])
			}
			if k := after[i].Kind; k == translate.Drop || k == translate.Bounce {
				why = after[i].Reason
			}
		}
		e.apply(after)
		e.decided(now, d, why)
	}
}

// decided notes the fate of the message that a Do came from.
func (e *Epoch) decided(now time.Time, d *Do, why translate.Reason) {
	if d.seq == 0 {
		return
	}
	if d.read != nil {
		e.counts.read = *d.read
	}
	if why == translate.NoReason {
		e.counts.DeliveredHere++
		if e.counts.Tap.On() {
			e.counts.show(tap.FromPeer, tap.Delivered, &d.Effect.Msg)
		}
	} else {
		e.counts.fromPeer(why, &d.Effect.Msg)
	}
	e.counts.read.open = false
	e.session.Decided(now, d.seq, d.size)
	e.held.passed(d.from)
}

// apply carries out effects here, or leaves them for Dos.
func (e *Epoch) apply(fx []translate.Effect) {
	for i := range fx {
		if e.note != nil {
			e.note.effect(&fx[i])
		}
		switch f := &fx[i]; f.Kind {
		case translate.Bounce:
			e.answer(f)
		case translate.Forward:
			if f.Msg.Event != nil {
				e.tell(f.Msg.Event)
			}
		case translate.Send, translate.Bind, translate.Unbind:
			e.todo = append(e.todo, Do{Effect: *f})
		case translate.Snapshot:
			e.snapshot = true
		case translate.Drop, translate.Stop: // counted by who asked the rules
		}
	}
	if cap(fx) > cap(e.fx) {
		e.fx = fx[:0]
	}
}

// answer queues an answer to a request that the peer keeps open.
func (e *Epoch) answer(fx *translate.Effect) {
	e.tracer.Answered(e.now, trace.Server, &fx.Msg)
	if e.why == nil && e.roomForAnswer() {
		e.session.Put(e.now, link.Answers, &link.Outgoing{Msg: fx.Msg})
		if e.counts.Tap.On() {
			e.counts.showOwn(tap.ToPeer, tap.Forwarded, &fx.Msg)
		}
	}
}

// roomForAnswer reports whether there is room for an answer. If not, the peer takes none
// of too many, and the epoch ends.
func (e *Epoch) roomForAnswer() bool {
	if e.session.Room(link.Answers) {
		return true
	}
	e.End(e.now, link.Errorf(link.Stalled, "the peer takes none of our answers to its requests"), false)
	return false
}

// answerAll answers every request that is still open, after the end, and settles
// what becomes of the messages that the peer has not acknowledged.
func (e *Epoch) answerAll(dst []Do) []Do {
	e.answered = true
	e.tracer.Cut(e.now, trace.Server)
	neverHanded := make(map[kbusdev.MsgID]bool)
	seq := e.session.Acknowledged()
	lose := func(out *link.Outgoing, handed bool) {
		m := &out.Msg
		seq++
		switch {
		case m.WantsUsToReply():
			if !handed {
				neverHanded[m.ID] = true
			}
		case e.carry && !m.IsReply() && m.Event == nil && out.FromBus && !e.heardTwice(out, handed, seq):
			e.keep(out, handed)
			return
		}
		if out.FromBus {
			e.counts.fromBus(translate.LinkLost, m)
		}
	}
	e.session.Unacknowledged(lose)
	for i := range e.overflow {
		lose(&e.overflow[i], false)
	}
	e.overflow, e.overflowed = nil, 0
	e.counts.settle(e.session.Stats())
	for _, fx := range e.rules.End(nil, func(id kbusdev.MsgID) bool { return neverHanded[id] }) {
		dst = append(dst, Do{Effect: fx})
		e.cutOff++
	}
	return dst
}
