package limpet

import (
	"cmp"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/tape"
)

// tape takes the state of the epoch, or sets that of a new one of the same configuration.
// Nothing that came out of Dos may be under way: it is not part of the state.
func (e *Epoch) tape(t *tape.Tape) {
	e.rules.Tape(t)
	link.TapeSession(t, e.session)
	e.counts.tape(t)
	t.Uint32(&e.origin.network)
	t.Uint64(&e.origin.changes)
	e.toTell.Tape(t)
	e.wants.tape(t)
	tape.Slice(t, &e.todo, func(d *Do) { d.tape(t) })
	e.held.tape(t)
	tape.Slice(t, &e.overflow, func(out *link.Outgoing) { link.TapeOutgoing(t, out) })
	tape.Slice(t, &e.carried, func(out *link.Outgoing) { link.TapeOutgoing(t, out) })
	if t.Reading() {
		e.overflowed, e.carrying = sizes(e.overflow), sizes(e.carried)
	}
	tape.Slice(t, &e.said, func(f *link.Frame) { link.TapeFrame(t, f) })
	for _, at := range e.times() {
		t.Time(at)
	}
	for _, is := range e.truths() {
		t.Bool(is)
	}
	t.Uint8((*uint8)(&e.retelling), uint8(telling))
	t.Uint64(&e.ackedThen)
	t.Float(&e.controls.used)
	link.TapeError(t, &e.why)
	t.Count(&e.cutOff)
	tape.Map(t, &e.restarted, cmp.Compare[uint32], func(network *uint32, sent *uint64) {
		t.Uint32(network)
		t.Uint64(sent)
	})
	if e.tracer != nil {
		e.tracer.Tape(t)
	}
}

func (e *Epoch) times() []*time.Time {
	return []*time.Time{
		&e.bindsAt, &e.now, &e.overflowAt, &e.detachedAt, &e.holdAt, &e.expireAt, &e.noProgress, &e.digestAt, &e.topologyAt, &e.controls.at, &e.endedAt,
	}
}

func (e *Epoch) truths() []*bool {
	return []*bool{
		&e.readOn, &e.stalled, &e.snapshot, &e.full, &e.met, &e.topologyOwed, &e.draining, &e.peerDraining, &e.saidDone, &e.peerDone, &e.answered, &e.carry,
	}
}

func sizes(all []link.Outgoing) (n int) {
	for i := range all {
		n += all[i].Msg.Size()
	}
	return n
}

// tape takes what is to be done, but for the queue that it was held in: held knows.
func (d *Do) tape(t *tape.Tape) {
	d.Effect.Tape(t)
	t.Uint64(&d.seq)
	t.Count(&d.size)
	t.Time(&d.arrived)
}

func (h *held) tape(t *tape.Tape) {
	t.Bool(&h.giving)
	var waiting []*heldQueue
	for _, q := range h.order {
		if len(q.dos) > 0 {
			waiting = append(waiting, q)
		}
	}
	tape.Slice(t, &waiting, func(q **heldQueue) {
		if t.Reading() {
			*q = new(heldQueue)
		}
		t.Address(&(*q).sender)
		tape.Slice(t, &(*q).dos, func(d *Do) { d.tape(t) })
		t.Time(&(*q).until)
		t.Time(&(*q).retry)
		t.Bool(&(*q).out)
		if !t.Reading() || t.Err() != nil {
			return
		}
		if len((*q).dos) == 0 {
			t.Fail("nothing waits of %v", (*q).sender)
			return
		}
		if h.queues == nil {
			h.queues = make(map[kbusdev.Address]*heldQueue)
		}
		h.queues[(*q).sender] = *q
		h.order = append(h.order, *q)
	})
}

func (w *interest) tape(t *tape.Tape) {
	w.names.Tape(t)
	w.cut.tape(t)
	w.hearing.tape(t)
	if w.toTell.renames != nil {
		tape.Named(t, &w.toTell.told, t.Uint32)
	}
	w.toTell.changes.Tape(t)
	t.Count(&w.bytes)
	for _, is := range []*bool{&w.whole, &w.crowded, &w.telling, &w.begun, &w.toldAll, &w.resync} {
		t.Bool(is)
	}
}

func (c *cut) tape(t *tape.Tape) {
	c.bytes = 0
	tape.Named(t, &c.asked, func(*struct{}) {})
	for name := range c.asked {
		c.bytes += len(name)
	}
	tape.Named(t, &c.wanted, t.Uint32)
}

func (h *hearing) tape(t *tape.Tape) {
	t.Bool(&h.whole)
	tape.Named(t, &h.bound, t.Uint32)
	tape.Named(t, &h.before, t.Uint32)
	tape.Slice(t, &h.changes, func(l *Listen) { l.tape(t) })
	t.Bool(&h.making)
}

func (l *Listen) tape(t *tape.Tape) {
	t.Name(&l.Name)
	t.Bool(&l.Bound)
}

// tape takes the counts of the peering, over all its epochs.
func (n *Totals) tape(t *tape.Tape) {
	for _, c := range []*uint64{
		&n.FromBus, &n.FromPeer, &n.DeliveredThere, &n.DeliveredHere, &n.ToPeer, &n.WindowFull, &n.QueueFull, &n.UnknownFrames, &n.Resyncs,
	} {
		t.Uint64(c)
	}
	n.Took.Tape(t)
	n.AskedTook.Tape(t)
	for i := range n.fromBusEnded {
		t.Uint64(&n.fromBusEnded[i])
		t.Uint64(&n.fromPeerEnded[i])
	}
	n.ledger.Tape(t)
	t.Float(&n.binds.used)
	t.Time(&n.binds.at)
}
