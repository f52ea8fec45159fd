package membus

import (
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Bind binds name for this Ksock.
func (k *Ksock) Bind(name string, as kbusdev.Role) error {
	return k.locked("bind", name, func() error {
		if err := kbusdev.CheckBindName(name); err != nil {
			return err
		}
		if k.judge != nil && !k.judge.Binds(name, as) {
			return k.deny("bind", name, syscall.EADDRNOTAVAIL)
		}
		if as == kbusdev.Replier {
			if name == kbusdev.NameReplierBindEvent {
				return syscall.EBADMSG
			}
			if k.bus.names.replierOf(name) != nil {
				return syscall.EADDRINUSE
			}
			if err := k.bus.reportBind(k, name, true); err != nil {
				return err
			}
		}
		k.bus.bind(k, name, as)
		return nil
	})
}

func (b *Bus) bind(k *Ksock, name string, as kbusdev.Role) {
	if as == kbusdev.Listener {
		b.noteBound(b.names.add(k, as, name))
		return
	}
	var before *binding
	if b.waiting.Len() > 0 && !kbusdev.IsWildcard(name) {
		before = b.names.replierFor(name)
	}
	b.noteBound(b.names.add(k, as, name))
	b.boundReplier(name, before)
}

// Unbind undoes the newest such binding, and what was queued through it. Where
// that leaves the queue shorter, an unbind event set aside moves in.
func (k *Ksock) Unbind(name string, as kbusdev.Role) error {
	return k.locked("unbind", name, func() error {
		if err := kbusdev.CheckBindName(name); err != nil {
			return err
		}
		b, before := k.bus, k.queue.n
		err := b.unbind(k, name, as)
		if name == kbusdev.NameReplierBindEvent {
			b.dropSetAside(k) // whether or not there was such a binding
		}
		if k.queue.n < before {
			b.moveSetAside(k)
			b.roomAt(k)
		}
		if err == nil {
			b.tryAgain(name, k.waiters.all()...)
		}
		return err
	})
}

func (b *Bus) unbind(k *Ksock, name string, as kbusdev.Role) error {
	v := b.names.find(k, as, name)
	if v == nil {
		return errInvalid
	}
	if as == kbusdev.Replier {
		if err := b.reportBind(k, name, false); err != nil {
			return err
		}
	}
	for _, e := range k.queue.takeVia(v) {
		if e.request {
			b.synthetic(kbusdev.NameReplierUnbound, k.id, e.msg.From, e.msg.ID)
		}
	}
	b.forget(v)
	return nil
}

// StopListening undoes the newest listener binding of name, as Unbind does, but what was
// queued through it stays queued. The module has nothing like it: a limpet listens to
// what its peer wants, which changes, and must lose nothing of what is still wanted by
// another name.
func (k *Ksock) StopListening(name string) error {
	return k.locked("stop listening", name, func() error {
		if err := kbusdev.CheckBindName(name); err != nil {
			return err
		}
		v := k.bus.names.find(k, kbusdev.Listener, name)
		if v == nil {
			return errInvalid
		}
		v.queued.letGo()
		k.bus.forget(v)
		k.bus.tryAgain(name, k.waiters.all()...)
		return nil
	})
}

// forget removes a binding, the newest of identical ones.
func (b *Bus) forget(v *binding) {
	b.names.remove(v)
	b.noteUnbound(v)
}

// unbindAll removes k's bindings, newest first, as its Close does. Its queue is
// empty by now.
func (b *Bus) unbindAll(k *Ksock) {
	for v := k.bound.newest; v != nil; v = k.bound.newest {
		if v.role == kbusdev.Replier {
			b.reportUnbindOnClose(k, v.name)
		}
		b.forget(v)
	}
}

// Replier asks who replies to exactly this string.
func (k *Ksock) Replier(name string) (id kbusdev.KsockID, ok bool, err error) {
	err = k.locked("replier", name, func() error {
		if name == "" || len(name) > kbusdev.MaxNameLen {
			return syscall.ENAMETOOLONG
		}
		if r := k.bus.names.replierOf(name); r != nil && (k.judge == nil || k.judge.Sees(name)) {
			id, ok = r.ksock.id, true
		}
		return nil
	})
	return id, ok, err
}

// bindEvent makes the announcement of a replier (un)bound; it uses a serial.
func (b *Bus) bindEvent(e kbusdev.BindEvent) *posted {
	return &posted{Message: kbusdev.Message{
		ID:    b.nextID(),
		Flags: kbusdev.Synthetic | kbusdev.AllOrFail,
		Name:  kbusdev.NameReplierBindEvent,
		Event: &e,
	}}
}

// reportBind announces a bind or unbind that is about to happen. EAGAIN, and
// nobody hears it, when a listener has no room.
func (b *Bus) reportBind(k *Ksock, name string, bound bool) error {
	if b.reporting != kbusdev.On {
		return nil
	}
	if !b.announce(b.bindEvent(kbusdev.BindEvent{Bound: bound, Binder: k.id, Name: name})) {
		return syscall.EAGAIN
	}
	return nil
}

// announce gives a bind event to all its listeners, or to nobody, and reports
// which. The listeners are left in b.found.
func (b *Bus) announce(event *posted) bool {
	b.names.lookup(event.Name, &b.found)
	b.found.listeners = b.heard(&event.Message, b.found.listeners)
	for _, l := range b.found.listeners {
		if !l.ksock.hasRoom(0) {
			return false
		}
	}
	for _, l := range b.found.listeners {
		b.push(l.ksock, queued{msg: event, flags: event.Flags, via: l})
	}
	return true
}

// snapshot queues to k an event for every replier bound, newest first.
func (b *Bus) snapshot(k *Ksock) error {
	for v := b.names.newest; v != nil; v = v.older {
		if v.role != kbusdev.Replier {
			continue
		}
		event := b.bindEvent(kbusdev.BindEvent{Bound: true, Binder: v.ksock.id, Name: v.name})
		if !k.hasRoom(0) {
			return syscall.EBUSY
		}
		b.push(k, queued{msg: event, flags: event.Flags})
	}
	return nil
}
