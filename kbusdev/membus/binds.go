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
		k.bus.names.add(k, as, name)
		return nil
	})
}

// Unbind undoes the newest such binding, and what was queued through it.
func (k *Ksock) Unbind(name string, as kbusdev.Role) error {
	return k.locked("unbind", name, func() error {
		if err := kbusdev.CheckBindName(name); err != nil {
			if err == syscall.EBADMSG {
				return errInvalid // no such binding can exist
			}
			return err
		}
		b := k.bus.names.find(k, as, name)
		if b == nil {
			return errInvalid
		}
		if as == kbusdev.Replier {
			if err := k.bus.reportBind(k, name, false); err != nil {
				return err
			}
		}
		k.bus.forgetVia(b)
		k.bus.names.remove(b)
		return nil
	})
}

// forgetVia drops what waits in the queue through binding v, and answers the
// requests among it.
func (b *Bus) forgetVia(v *binding) {
	taken := v.ksock.queue.takeVia(v)
	for _, e := range taken {
		if e.request {
			b.synthetic(kbusdev.NameReplierUnbound, v.ksock.id, e.msg.From, e.msg.ID)
		}
	}
	if len(taken) > 0 {
		b.moveSetAside(v.ksock)
		b.madeRoom()
	}
}

// unbindAll removes k's bindings, newest first, as its Close does. Its queue is
// empty by now.
func (b *Bus) unbindAll(k *Ksock) {
	for v := b.names.newest; v != nil; {
		older := v.older
		if v.ksock == k {
			b.names.remove(v)
			if v.role == kbusdev.Replier {
				b.reportUnbindOnClose(k, v.name)
			}
		}
		v = older
	}
}

// Replier asks who replies to exactly this string.
func (k *Ksock) Replier(name string) (id kbusdev.KsockID, ok bool, err error) {
	err = k.locked("replier", name, func() error {
		if name == "" || len(name) > kbusdev.MaxNameLen {
			return syscall.ENAMETOOLONG
		}
		if r := k.bus.names.replierOf(name); r != nil {
			id, ok = r.ksock.id, true
		}
		return nil
	})
	return id, ok, err
}

// bindEvent makes the announcement of a replier (un)bound; it uses a serial.
func (b *Bus) bindEvent(e kbusdev.BindEvent) *kbusdev.Message {
	return &kbusdev.Message{
		ID:    b.nextID(),
		Flags: kbusdev.Synthetic | kbusdev.AllOrFail,
		Name:  kbusdev.NameReplierBindEvent,
		Event: &e,
	}
}

// reportBind announces a bind or unbind that is about to happen. EAGAIN, and
// nobody hears it, when a listener has no room.
func (b *Bus) reportBind(k *Ksock, name string, bound bool) error {
	if b.reporting != kbusdev.On {
		return nil
	}
	event := b.bindEvent(kbusdev.BindEvent{Bound: bound, Binder: k.id, Name: name})
	b.names.lookup(event.Name, &b.found)
	for _, l := range b.found.listeners {
		if !l.ksock.hasRoom(0) {
			return syscall.EAGAIN
		}
	}
	for _, l := range b.found.listeners {
		b.push(l.ksock, queued{msg: event, flags: event.Flags, via: l})
	}
	return nil
}

// reportUnbindOnClose cannot fail: what does not fit is set aside.
func (b *Bus) reportUnbindOnClose(k *Ksock, name string) {
	if b.reporting != kbusdev.On {
		return
	}
	event := b.bindEvent(kbusdev.BindEvent{Binder: k.id, Name: name})
	b.names.lookup(event.Name, &b.found)
	for _, l := range b.found.listeners {
		switch {
		case l.ksock == k:
			// It is closing, and hears nothing more.
		case len(l.ksock.setAside) == 0 && l.ksock.hasRoom(0):
			b.push(l.ksock, queued{msg: event, flags: event.Flags, via: l})
		case b.setAside < maxSetAside:
			b.putAside(l.ksock, event)
		case !l.ksock.unbindsLost:
			l.ksock.unbindsLost = true
			b.putAside(l.ksock, &kbusdev.Message{ID: b.nextID(), Flags: kbusdev.Synthetic, Name: kbusdev.NameUnbindEventsLost})
		}
	}
}

func (b *Bus) putAside(k *Ksock, event *kbusdev.Message) {
	k.setAside = append(k.setAside, event)
	b.setAside++
}

// moveSetAside gives k the oldest unbind event set aside for it, room or not.
func (b *Bus) moveSetAside(k *Ksock) {
	if len(k.setAside) == 0 {
		return
	}
	event := k.setAside[0]
	k.setAside = k.setAside[1:]
	b.setAside--
	if event.Name == kbusdev.NameUnbindEventsLost {
		k.unbindsLost = false
	}
	b.push(k, queued{msg: event, flags: event.Flags})
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
