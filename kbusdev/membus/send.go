package membus

import (
	"context"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Send writes and sends m; with AllOrWait it waits for room until ctx ends.
func (k *Ksock) Send(ctx context.Context, m *kbusdev.Message) (kbusdev.MsgID, error) {
	b := k.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := k.admit(m); err != nil {
		b.counts.refuse(err)
		return kbusdev.MsgID{}, opError("write", m.Name, err)
	}
	memory := &struct { // one piece
		posted
		outgoing
	}{posted: posted{Message: *m}}
	out := &memory.outgoing
	*out = outgoing{msg: &memory.posted, from: k, asleep: true}
	err := b.transmit(k, out)
	id := out.msg.ID // before anybody else has the message
	if err == syscall.EAGAIN {
		b.park(out)
		err = k.sleep(ctx, out)
	}
	*out = outgoing{} // a message that is kept for long does not keep its sender
	b.counts.refuse(err)
	if err != nil {
		return id, opError("send", m.Name, err)
	}
	return id, nil
}

// admit makes the checks that the module makes while a message is written.
func (k *Ksock) admit(m *kbusdev.Message) error {
	switch {
	case k.gone:
		return errClosed
	case !k.mode.CanWrite():
		return syscall.EBADF
	case k.pending != nil:
		return syscall.EALREADY
	case m.Name == "":
		return syscall.EINVAL
	case len(m.Name) > kbusdev.MaxNameLen:
		return syscall.ENAMETOOLONG
	case m.Flags&(kbusdev.AllOrFail|kbusdev.AllOrWait) == kbusdev.AllOrFail|kbusdev.AllOrWait:
		return syscall.EINVAL
	case kbusdev.EntireSize(k.bus.layout, m) > int(k.bus.maxSize):
		return syscall.EMSGSIZE
	}
	k.writing = writing{} // a half-written message is thrown away
	return kbusdev.CheckName(m.Name)
}

// transmit sends or refuses a message, in the module's order of checks. EAGAIN
// means it is to be tried again.
func (b *Bus) transmit(k *Ksock, out *outgoing) error {
	m := out.msg
	request, reply := m.IsRequest(), m.IsReply()
	if request && !k.hasRoom(0) {
		return syscall.ENOLCK
	}
	if !out.numbered {
		out.numbered = true
		if m.ID.Network == 0 {
			m.ID = b.nextID()
		}
		m.From, m.Extra = k.id, 0
		m.Flags &^= kbusdev.Synthetic | kbusdev.WantYouToReply
	}
	k.lastSent = m.ID
	if k.judge != nil {
		if err := k.maySend(&m.Message); err != nil {
			return err // as if nobody were bound
		}
	}

	requester, err := b.decide(k, &m.Message)
	if err != nil {
		return err
	}
	replier, listeners, noRoom := b.found.replier, b.found.listeners, noRoomFor(&m.Message)
	if request && !replier.ksock.hasRoom(0) {
		b.held.full, b.held.slot = replier.ksock, aSlot
		return noRoom
	}
	if m.Flags&(kbusdev.AllOrFail|kbusdev.AllOrWait) != 0 {
		for _, l := range listeners {
			if !l.ksock.hasRoom(0) {
				b.held.full, b.held.slot = l.ksock, aSlot
				return noRoom
			}
		}
	} else {
		listeners = withRoom(listeners, &m.Message)
	}

	if reply {
		if b.onReply != nil {
			k.replied(&m.Message, requester)
		}
		requester.awaited.remove(m.InReplyTo)
		b.push(requester, queued{msg: m, flags: m.Flags})
		k.debts.pay(m.InReplyTo)
	}
	if request {
		k.awaited.add(m.ID, b.push(replier.ksock, queued{msg: m, flags: m.Flags | kbusdev.WantYouToReply, via: replier, request: true}), b.age())
	}
	for _, l := range listeners {
		b.push(l.ksock, queued{msg: m, flags: m.Flags, via: l})
	}
	b.counts.sent[kindOf(request, reply)]++
	return nil
}

// withRoom keeps the listeners that have room now for a message: the module judges every
// queue before it fills any. The others miss it.
func withRoom(listeners []*binding, m *kbusdev.Message) []*binding {
	kept := listeners[:0]
	for _, l := range listeners {
		if l.ksock.hasRoom(0) {
			kept = append(kept, l)
		} else {
			l.ksock.miss(m)
		}
	}
	return kept
}

// push queues one copy, unless only-once drops it, and returns where.
func (b *Bus) push(k *Ksock, e queued) *slot {
	if k.onlyOnce == kbusdev.On && e.via != nil && !e.request && k.lastQueued == e.msg.ID {
		return nil
	}
	k.lastQueued = e.msg.ID
	s := k.queue.push(e)
	signal(k.readable)
	k.changed()
	return s
}

// synthetic answers a request in place of its replier. It needs no room and is
// sent even if nobody waits for it any more, but not to a Ksock that is gone.
func (b *Bus) synthetic(name string, from, to kbusdev.KsockID, request kbusdev.MsgID) {
	requester := b.ksock(to)
	if requester == nil {
		return
	}
	b.counts.answer(name)
	m := &posted{Message: kbusdev.Message{
		ID:        b.nextID(),
		InReplyTo: request,
		To:        to,
		From:      from,
		Flags:     kbusdev.Synthetic,
		Name:      name,
	}}
	requester.awaited.remove(request)
	b.push(requester, queued{msg: m, flags: m.Flags})
}

// Poll tells what is ready, judged before the pending send is tried.
func (k *Ksock) Poll() (r kbusdev.Readiness, err error) {
	err = k.locked("poll", "", func() error {
		r.In = k.queue.n > 0
		if k.pending != nil {
			k.bus.retry(k.pending)
		}
		r.Out = k.mode.CanWrite() && k.pending == nil
		return nil
	})
	return r, err
}

// Commit sends what was written, or tries a pending send again.
func (k *Ksock) Commit() (kbusdev.MsgID, error) { return k.commit(nil) }

func (k *Ksock) commit(fetch *fetched) (id kbusdev.MsgID, err error) {
	b := k.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if k.gone {
		return id, opError("send", "", errClosed)
	}
	out := k.pending
	if out == nil {
		m, err := k.writing.finish(fetch)
		k.writing = writing{}
		if err != nil {
			return id, opError("send", "", err)
		}
		out = &outgoing{msg: &posted{Message: *m}, from: k}
	}
	err = b.transmit(k, out)
	b.counts.refuse(err)
	if err == syscall.EAGAIN {
		b.park(out)
	} else {
		b.unpark(k)
	}
	if err != nil {
		return out.msg.ID, opError("send", out.msg.Name, err)
	}
	return out.msg.ID, nil
}

// Discard drops what was written or is pending. It never fails on an open Ksock.
func (k *Ksock) Discard() error {
	return k.locked("discard", "", func() error {
		k.writing = writing{}
		k.bus.unpark(k)
		return nil
	})
}
