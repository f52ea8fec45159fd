package membus

import (
	"container/list"
	"context"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Ksock's room is wanted in three ways, and who waits for it stands in one of
// three lists.
type want int

const (
	aSlot      want = iota // a Send that needs a free slot
	ownSlot                // a Send of a reply, whose slot is kept
	tellPoller             // a send by steps: its program is told, and tries again with Poll
	wants
)

// waiters are the pending sends that a Ksock holds up, and those that it answers.
type waiters struct {
	forRoom   [wants]list.List // of *outgoing, oldest first, for which there is no room here
	concerned list.List        // of *outgoing whose replier or requester this is
}

// An outgoing is a checked message on its way. It keeps its id while it is
// pending.
type outgoing struct {
	msg      *posted
	from     *Ksock
	numbered bool
	asleep   bool    // a Send waits for it, to be woken when it is finished
	parked   *parked // the lists it is in while it is pending
}

// held is why a send was not made.
type held struct {
	full               *Ksock // has no room
	slot               want   // of this kind
	replier, requester *Ksock // whom the message concerns; nil if nobody
}

// parked are the lists of the bus, of who is full, and of whom it concerns.
type parked struct{ bus, full, replier, requester place }

// A place is where an outgoing stands in a list, or nowhere.
type place struct {
	list *list.List
	at   *list.Element
}

// move goes to the end of another list; who is in it already keeps its place.
func (p *place) move(to *list.List, out *outgoing) {
	if p.list == to {
		return
	}
	if p.list != nil {
		p.list.Remove(p.at)
	}
	if p.list = to; to != nil {
		p.at = to.PushBack(out)
	}
}

// park makes out, which has just been tried, the pending send of its Ksock, or
// notes what it waits for now.
func (b *Bus) park(out *outgoing) {
	held := &b.held
	out.from.pending = out
	if out.parked == nil {
		out.parked = new(parked)
	}
	slot := held.slot
	if !out.asleep {
		slot = tellPoller
	}
	out.parked.bus.move(&b.waiting, out)
	out.parked.full.move(&held.full.waiters.forRoom[slot], out)
	out.parked.replier.move(concernedBy(held.replier), out)
	out.parked.requester.move(concernedBy(held.requester), out)
}

func concernedBy(k *Ksock) *list.List {
	if k == nil {
		return nil
	}
	return &k.waiters.concerned
}

// unpark ends k's pending send, if there is one, and wakes the Send that waits.
func (b *Bus) unpark(k *Ksock) {
	out := k.pending
	if out == nil {
		return
	}
	k.pending = nil
	in := out.parked
	for _, p := range []*place{&in.bus, &in.full, &in.replier, &in.requester} {
		p.move(nil, out)
	}
	if out.asleep {
		signal(k.room)
	}
}

// retry tries k's pending send again. Whatever but EAGAIN ends it; a failure is
// told to the sender with a synthetic message.
func (b *Bus) retry(out *outgoing) {
	k := out.from
	err := b.transmit(k, out)
	b.counts.refuse(err)
	switch err {
	case syscall.EAGAIN:
		b.park(out)
		return
	case nil:
	case syscall.EADDRNOTAVAIL:
		b.synthetic(kbusdev.NameReplierDisappeared, 0, k.id, out.msg.ID)
	default:
		b.synthetic(kbusdev.NameErrorSending, 0, k.id, out.msg.ID)
	}
	b.unpark(k)
}

// roomAt finishes the Sends that wait for room at x, oldest first, while there is
// room, and touches no others. A Send that finds no room elsewhere goes to wait
// there, so that each time round x's list gets shorter.
func (b *Bus) roomAt(x *Ksock) {
	b.sendsFor(x, ownSlot, 1)
	b.sendsFor(x, aSlot, 0)
	for e := x.waiters.forRoom[tellPoller].Front(); e != nil; e = e.Next() {
		e.Value.(*outgoing).from.changed()
	}
}

func (b *Bus) sendsFor(x *Ksock, slot want, kept int) {
	l := &x.waiters.forRoom[slot]
	for e := l.Front(); e != nil && x.hasRoom(kept); e = l.Front() {
		b.retry(e.Value.(*outgoing))
	}
}

// all are the lists of everybody who waits for a Ksock.
func (w *waiters) all() []*list.List {
	return []*list.List{&w.forRoom[ownSlot], &w.forRoom[aSlot], &w.forRoom[tellPoller], &w.concerned}
}

// tryAgain has the sends of these lists tried again, those whose names match the
// binding that has come or gone; "" stands for all.
func (b *Bus) tryAgain(binding string, lists ...*list.List) {
	var outs []*outgoing // first, for a retry changes the lists
	for _, l := range lists {
		for e := l.Front(); e != nil; e = e.Next() {
			if out := e.Value.(*outgoing); binding == "" || kbusdev.Matches(binding, out.msg.Name) {
				outs = append(outs, out)
			}
		}
	}
	for _, out := range outs {
		switch {
		case out.from.pending != out: // finished meanwhile
		case out.asleep:
			b.retry(out)
		default:
			out.from.changed() // its program tries
		}
	}
}

// boundReplier has those requests tried again that have another replier now. Only
// a wildcard takes names from several others.
func (b *Bus) boundReplier(name string, before *binding) {
	switch {
	case kbusdev.IsWildcard(name):
		b.tryAgain(name, &b.waiting)
	case before != nil:
		b.tryAgain(name, &before.ksock.waiters.concerned)
	}
}

// sleep waits, with the mutex given up meanwhile, until the pending send out is
// finished; when ctx ends first it discards it.
func (k *Ksock) sleep(ctx context.Context, out *outgoing) error {
	b := k.bus
	for {
		b.mu.Unlock()
		select {
		case <-k.room:
		case <-k.closed:
		case <-ctx.Done():
		}
		b.mu.Lock()
		switch {
		case k.gone:
			return errClosed
		case k.pending != out:
			return nil // finished, or discarded by somebody
		case ctx.Err() != nil:
			b.unpark(k)
			return &roomError{ctx.Err()}
		}
	}
}

// A roomError is EAGAIN and the reason to give up waiting.
type roomError struct{ ctx error }

func (e *roomError) Error() string   { return "no room before " + e.ctx.Error() + " (EAGAIN)" }
func (e *roomError) Unwrap() []error { return []error{syscall.EAGAIN, e.ctx} }
