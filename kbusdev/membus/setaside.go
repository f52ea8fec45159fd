package membus

import "github.com/kbus-limpet/limpet/kbusdev"

// maxSetAside bounds the unbind events that a bus keeps for its listeners while
// one of them has no room. Beyond it there is one UnbindEventsLost per Ksock.
const maxSetAside = 1000

// A Ksock's entries stand in its own list. The module has one list per device,
// but only the order of one Ksock's entries, the number of all entries, and
// whether the list is lost can be seen: while it is lost no ordinary event is
// added, so that each UnbindEventsLost stands behind all ordinary events.
type setAside struct {
	entries []queued
	lost    bool // the last entry is an UnbindEventsLost
}

// reportUnbindOnClose announces that a closing Ksock's replier is unbound. It
// cannot fail: what some listener has no room for is set aside for all of them.
func (b *Bus) reportUnbindOnClose(k *Ksock, name string) {
	if b.reporting != kbusdev.On {
		return
	}
	event := b.bindEvent(kbusdev.BindEvent{Binder: k.id, Name: name})
	if b.announce(event) {
		return
	}
	listeners := b.found.listeners
	if b.unbindsLost || b.setAside+len(listeners) > maxSetAside {
		b.unbindsLost = true
		event = &posted{Message: kbusdev.Message{ID: b.nextID(), Flags: kbusdev.Synthetic, Name: kbusdev.NameUnbindEventsLost}}
	}
	event.kept = true
	for _, l := range listeners {
		s := &l.ksock.setAside
		if s.lost {
			continue // it has one already
		}
		s.lost = b.unbindsLost
		s.entries = append(s.entries, queued{msg: event, flags: event.Flags, via: l})
		b.setAside++
	}
}

// moveSetAside gives k the oldest event set aside for it that it may hear, room or not.
func (b *Bus) moveSetAside(k *Ksock) {
	s := &k.setAside
	for len(s.entries) > 0 {
		e := s.entries[0]
		s.entries[0] = queued{}
		if s.entries = s.entries[1:]; len(s.entries) == 0 {
			*s = setAside{}
		}
		b.lessSetAside(1)
		if k.hears(&e.msg.Message) {
			b.push(k, e)
			return
		}
	}
}

// dropSetAside forgets what was set aside for k.
func (b *Bus) dropSetAside(k *Ksock) {
	b.lessSetAside(len(k.setAside.entries))
	k.setAside = setAside{}
}

func (b *Bus) lessSetAside(n int) {
	b.setAside -= n
	if b.setAside == 0 {
		b.unbindsLost = false
	}
}
