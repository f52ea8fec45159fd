package limpet

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/tap"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// readBatch is how many messages are read from the bus at once, at most.
const readBatch = 64

// awayBytes bounds what is read for a peer that has been away for long, or starts again,
// beyond what the window takes.
func (e *Epoch) awayBytes() int { return int(max(e.cfg.WindowBytes, smallWindow)) }

// Appetite returns how many messages may be read from the bus now: 0 while the window
// is full, until it has room, or the peer counts as stalled, or there has been no stream
// for so long that requests must be answered.
func (e *Epoch) Appetite() int {
	if e.why != nil || len(e.overflow) > 0 && !e.stalled && !e.readOn {
		return 0
	}
	if !e.stalled && !e.readOn && !e.session.Room(link.Normal) {
		return 1 // it waits here, and the peer counts as stalled when it waits for long
	}
	return readBatch
}

// WantsSnapshot reports, once, that the reader is to ask the bus for an event for
// every replier, and to tell SnapshotAsked.
func (e *Epoch) WantsSnapshot() bool {
	wants := e.snapshot
	if r := e.rec; r != nil && wants {
		r.snapshotTaken(e)
	}
	e.snapshot = false
	return wants
}

// SnapshotAsked tells that the bus has queued the snapshot, and that queued messages
// wait in our Ksock since.
func (e *Epoch) SnapshotAsked(queued int) {
	if r := e.rec; r != nil {
		r.snapshotAsked(e, queued, false)
		return
	}
	e.apply(e.rules.SnapshotAsked(e.fx[:0], queued))
}

// SnapshotCut tells that the bus could queue no more than the first part of a snapshot.
// When that has been read, WantsSnapshot reports true again.
func (e *Epoch) SnapshotCut(queued int) {
	if r := e.rec; r != nil {
		r.snapshotAsked(e, queued, true)
		return
	}
	e.apply(e.rules.SnapshotCut(e.fx[:0], queued))
}

// QueueFull tells whether our queue on the bus was seen at its bound, when the bus may
// have dropped what nobody can count. It reports whether that is news.
func (e *Epoch) QueueFull(full bool) (news bool) {
	if r := e.rec; r != nil && full != e.full {
		return r.queueFull(e, full)
	}
	news = full && !e.full
	e.full = full
	if news {
		e.counts.QueueFull++
	}
	return news
}

// FromBus takes messages that were read from the bus, in order. It keeps none of
// them. It reports whether one was the termination message: those after it are not
// looked at.
func (e *Epoch) FromBus(now time.Time, msgs []*kbusdev.Message) (terminated bool) {
	if r := e.rec; r != nil {
		return r.fromBus(e, now, msgs)
	}
	e.Tick(now)
	for _, m := range msgs {
		e.counts.FromBus++
		if n := m.ID.Network; n != 0 && n != e.cfg.NetworkID && !m.IsReply() {
			e.cfg.IDs.Read(m.ID, m.From, now)
		}
		e.counts.reads(m)
		fx := e.rules.FromBus(e.fx[:0], m)
		e.fx = fx[:0]
		if e.inspect != nil {
			for i := range fx {
				e.inspect("from bus", m, &fx[i])
			}
		}
		if e.tracer != nil {
			e.traceFromBus(now, m, &fx[0])
		}
		switch own := &fx[0]; own.Kind {
		case translate.Forward:
			e.forward(now, m, own)
			if e.counts.read.open { // it has not ended
				e.counts.show(tap.ToPeer, tap.Forwarded, &own.Msg)
			}
		case translate.Stop:
			e.counts.fromBus(own.Reason, m)
			return true
		default: // an answer of ours, a snapshot to be asked for, or nothing
			e.counts.fromBus(own.Reason, m)
			e.apply(fx[:1])
		}
		e.counts.read.open = false
		e.apply(fx[1:])
	}
	return false
}

// forward queues a message of our bus for the peer.
func (e *Epoch) forward(now time.Time, read *kbusdev.Message, fx *translate.Effect) {
	m := &fx.Msg
	if e.note != nil {
		e.note.effect(fx)
	}
	e.noteDeadline(m)
	switch {
	case m.Event != nil:
		e.counts.fromBus(translate.BindEventUsed, read)
		e.tell(m.Event)
	case !e.answered && e.unwanted(m):
		e.counts.fromBus(translate.Unwanted, read)
	case e.cfg.Renames != nil && !e.nameThere(m):
	case e.answered:
		e.late(m)
	case e.room():
		e.stalled = false
		e.session.Put(now, link.Normal, &link.Outgoing{Msg: *m, FromBus: true})
	case e.givesUp():
		e.giveUp(now, &link.Outgoing{Msg: *m, FromBus: true})
	default:
		if len(e.overflow) == 0 {
			e.overflowAt = now
			e.counts.WindowFull++
		}
		e.overflow = append(e.overflow, link.Outgoing{Msg: *m, FromBus: true})
		e.overflowed += m.Size()
	}
}

// room reports whether a message can go into the window at once.
func (e *Epoch) room() bool { return len(e.overflow) == 0 && e.session.Room(link.Normal) }

// givesUp reports whether what finds no room is not kept until there is some.
func (e *Epoch) givesUp() bool {
	return e.stalled || e.readOn && (len(e.overflow) >= int(e.cfg.MaxMessages) || e.overflowed >= e.awayBytes())
}

// unwanted reports whether nobody at the peer, or behind it, wants a message of our bus.
func (e *Epoch) unwanted(m *kbusdev.Message) bool {
	return !m.IsReply() && !m.WantsUsToReply() && !e.wants.wants(m.Name)
}

// late ends what was read when the epoch was over already, or keeps it for the peer's
// next instance.
func (e *Epoch) late(m *kbusdev.Message) {
	switch {
	case m.WantsUsToReply():
		e.abandon(m, kbusdev.NameNotDelivered, translate.LinkLost)
	case e.carry && !m.IsReply():
		e.keep(&link.Outgoing{Msg: *m, FromBus: true}, false)
	default:
		e.counts.fromBus(translate.LinkLost, m)
	}
}

// keep keeps an announcement for the peer's next epoch; handed: the peer may have it. No more is kept than a window
// and our queue hold: a peer may be started again and again, and take nothing.
func (e *Epoch) keep(out *link.Outgoing, handed bool) {
	if len(e.carried) >= e.cfg.Session.WindowMessages+int(e.cfg.MaxMessages) || e.carrying >= e.cfg.Session.WindowBytes+e.awayBytes() {
		e.counts.fromBus(translate.LinkLost, &out.Msg)
		return
	}
	e.carried = append(e.carried, *out)
	e.carried[len(e.carried)-1].Again = handed || out.Again
	e.carrying += out.Msg.Size()
}

// giveUp ends what a peer that is stalled, or has been away for long, does not take.
// Answers to its own requests are kept, within the bounds of their lane.
func (e *Epoch) giveUp(now time.Time, out *link.Outgoing) {
	switch {
	case out.Msg.IsReply():
		e.roomForAnswer()
		e.session.Put(now, link.Answers, out)
	case out.Msg.WantsUsToReply():
		name, why := e.givenUp()
		e.abandon(&out.Msg, name, why)
	default:
		e.counts.fromBus(translate.Stalled, &out.Msg)
	}
}

// givenUp returns how a request is answered that the peer does not take, and why it is.
func (e *Epoch) givenUp() (name string, why translate.Reason) {
	if e.readOn {
		return kbusdev.NameNotDelivered, translate.LinkDown
	}
	return kbusdev.NameRemoteErrorPrefix + "EBUSY", translate.Stalled
}

// flow moves what waited for the window into it, as far as there is room.
func (e *Epoch) flow(now time.Time) {
	n := 0
	for n < len(e.overflow) && e.session.Room(link.Normal) {
		e.session.Put(now, link.Normal, &e.overflow[n])
		n++
	}
	if n > 0 && !e.overflowAt.IsZero() {
		e.overflowAt = now // the window was not full
	}
	if e.stalled && n == 0 {
		for i := range e.overflow {
			e.giveUp(now, &e.overflow[i])
		}
		n = len(e.overflow)
	}
	e.dropOverflow(n)
	if len(e.overflow) == 0 && e.session.Room(link.Normal) {
		e.overflowAt, e.stalled = time.Time{}, false
	}
}

// dropOverflow takes the first n messages out of the overflow.
func (e *Epoch) dropOverflow(n int) {
	for i := range n {
		e.overflowed -= e.overflow[i].Msg.Size()
	}
	if len(e.overflow) > 2*readBatch { // to move the others costs more than new memory later
		clear(e.overflow[:n])
		e.overflow = e.overflow[n:]
	} else if n > 0 {
		left := copy(e.overflow, e.overflow[n:])
		clear(e.overflow[left:])
		e.overflow = e.overflow[:left]
	}
}
