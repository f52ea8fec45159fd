package membus

import (
	"slices"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// noRoomFor returns the errno of a message that finds no room.
func noRoomFor(m *kbusdev.Message) syscall.Errno {
	if m.Flags&kbusdev.AllOrWait != 0 {
		return syscall.EAGAIN
	}
	return syscall.EBUSY
}

// decide finds who gets a message that k sends, and returns why it is refused, whatever room
// there is but for a reply. requester is who waits for a reply. It changes nothing but the
// scratch space of the bus: b.found has the recipients then, and b.held whom the message
// concerns. k may be nil, for somebody who has no Ksock yet.
func (b *Bus) decide(k *Ksock, m *kbusdev.Message) (requester *Ksock, err error) {
	request, found := m.IsRequest(), &b.found
	b.names.lookup(m.Name, found)
	if k != nil && k.notOwn {
		found.listeners = slices.DeleteFunc(found.listeners, func(l *binding) bool { return l.ksock == k })
	}
	found.listeners = b.heard(m, found.listeners)
	if request && found.replier == nil {
		return nil, syscall.EADDRNOTAVAIL
	}
	b.held.replier, b.held.requester = nil, nil
	if request {
		b.held.replier = found.replier.ksock
	}
	if m.IsReply() {
		requester = b.ksock(m.To)
		b.held.requester = requester
		switch {
		case requester == nil:
			return nil, syscall.EADDRNOTAVAIL
		case !requester.awaited.has(m.InReplyTo):
			return nil, syscall.ECONNREFUSED
		case !requester.hasRoom(1):
			b.held.full, b.held.slot = requester, ownSlot
			return nil, noRoomFor(m)
		}
	}
	if request && m.To != 0 && m.To != found.replier.ksock.id {
		return nil, syscall.EPIPE
	}
	return requester, nil
}

// Route returns who would get an announcement or a request if a Ksock of this bus sent it
// now, as Send decides it; from may be 0, for one that is not open yet. The error is the
// errno of Send: that the bus has no room, or that it is too long, is not judged, and
// neither is what the judge of from says. Its cost is that of Send.
func (b *Bus) Route(from kbusdev.KsockID, m *kbusdev.Message) (kbusdev.Route, error) {
	if err := kbusdev.CheckName(m.Name); err != nil {
		return kbusdev.Route{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.decide(b.ksock(from), m); err != nil {
		return kbusdev.Route{}, err
	}
	var r kbusdev.Route
	var taken *Ksock // it gets the message once only, as the replier
	if m.IsRequest() {
		k := b.found.replier.ksock
		r.Replier = recipient(b.found.replier)
		if k.onlyOnce == kbusdev.On {
			taken = k
		}
	}
	told := make(map[*Ksock]bool)
	for _, l := range b.found.listeners {
		if l.ksock != taken && !told[l.ksock] {
			told[l.ksock] = true
			r.Listeners = append(r.Listeners, recipient(l))
		}
	}
	return r, nil
}

func recipient(v *binding) kbusdev.Recipient {
	return kbusdev.Recipient{Binding: v.public(), NoRoom: !v.ksock.hasRoom(0)}
}
