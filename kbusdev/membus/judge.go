package membus

import (
	"slices"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Judge says what the owner of a Ksock may do. Its methods are called under the bus's
// lock, always say the same, must be quick and call nothing of the bus.
type Judge interface {
	// Sends reports whether an announcement or a request may be sent. A reply is not
	// judged: it may be sent by who owes it.
	Sends(m *kbusdev.Message) bool
	// Hears reports whether a message may be heard by a listener.
	Hears(m *kbusdev.Message) bool
	// Binds reports whether a valid name may be bound.
	Binds(name string, as kbusdev.Role) bool
	// Sees reports whether it may be known that somebody is bound to a valid name.
	Sees(name string) bool
}

// JudgedBy has j judge what the Ksock does from now on; nil lets it do everything, which is
// so at first. What is not allowed looks absent. A message that may not be sent, and a name
// that may not be bound, are refused with EADDRNOTAVAIL; so is the reply to a request that
// the Ksock does not owe. What may not be heard is not queued, and needs no room. The
// settings of the whole bus can be asked for, but a change is refused with EACCES.
//
// What the Ksock has bound as replier and may not have any more is unbound, and what is
// queued for it and may not be heard any more is dropped. denied is called for each
// operation that is refused, as j's methods are, with the message if one may not be sent; it
// does not keep that message's data. It is nil with a nil j.
func (k *Ksock) JudgedBy(j Judge, denied func(op, name string, m *kbusdev.Message)) {
	b := k.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if k.gone {
		return
	}
	b.judge(k, j, denied)
	if j == nil {
		return
	}
	before := k.queue.n
	for s := k.queue.first; s != nil; {
		next := s.behind
		if !s.request && !k.hears(&s.msg.Message) {
			k.queue.take(s)
		}
		s = next
	}
	for v := k.bound.newest; v != nil; {
		older := v.ownOlder
		if v.role == kbusdev.Replier && !j.Binds(v.name, v.role) {
			b.depose(k, v)
		}
		v = older
	}
	if k.queue.n < before {
		b.moveSetAside(k)
		b.roomAt(k)
	}
}

// judge notes a Ksock's judge, and counts those that have one.
func (b *Bus) judge(k *Ksock, j Judge, denied func(op, name string, m *kbusdev.Message)) {
	if k.judge != nil {
		b.judged--
	}
	if k.judge, k.denied = j, denied; j != nil {
		b.judged++
	}
}

// depose undoes a replier's binding, which must not fail: an unbind event that some
// listener has no room for is set aside.
func (b *Bus) depose(k *Ksock, v *binding) {
	for _, e := range k.queue.takeVia(v) {
		if e.request {
			b.synthetic(kbusdev.NameReplierUnbound, k.id, e.msg.From, e.msg.ID)
		}
	}
	b.reportUnbindOnClose(k, v.name)
	b.forget(v)
	b.tryAgain(v.name, k.waiters.all()...)
}

// deny counts an operation that the judge does not allow.
func (k *Ksock) deny(op, name string, errno syscall.Errno) error {
	k.refused++
	k.denied(op, name, nil)
	return errno
}

// denyMessage counts a message that the judge does not let be sent.
func (k *Ksock) denyMessage(op string, m *kbusdev.Message) error {
	k.refused++
	k.denied(op, m.Name, m)
	return syscall.EADDRNOTAVAIL
}

// maySend returns why the judge, which there is, does not let a message be sent.
func (k *Ksock) maySend(m *kbusdev.Message) error {
	switch {
	case m.IsReply() && k.debts.byID.get(m.InReplyTo) == nil:
		return k.denyMessage("reply", m)
	case m.IsReply() && !m.IsRequest():
	case !k.judge.Sends(m) && m.IsRequest():
		return k.denyMessage("request", m)
	case !k.judge.Sends(m):
		return k.denyMessage("announce", m)
	}
	return nil
}

// mayChange returns why the judge does not let a setting of the whole bus be changed.
func (k *Ksock) mayChange(op string) error {
	if k.judge == nil {
		return nil
	}
	return k.deny(op, "", syscall.EACCES)
}

// hears reports whether a message may be queued for k as listener.
func (k *Ksock) hears(m *kbusdev.Message) bool {
	return k.judge == nil || m.IsReply() && m.To == k.id || k.judge.Hears(m)
}

// heard keeps the listeners that may hear a message.
func (b *Bus) heard(m *kbusdev.Message, listeners []*binding) []*binding {
	if b.judged == 0 {
		return listeners
	}
	return slices.DeleteFunc(listeners, func(l *binding) bool { return !l.ksock.hears(m) })
}
