package translate

import (
	"maps"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Rights are what a peer may do. They are asked for one message or name at a time, and
// answer the same each time. Names of messages need not be valid, those of bindings are.
type Rights interface {
	// Announces reports whether its announcements of a name may come onto our bus.
	Announces(name string) bool
	// Hears reports whether it may have the announcements of a name on our bus.
	Hears(name string) bool
	// Requests reports whether its requests of a name may be sent on our bus.
	Requests(name string) bool
	// RequestsAny reports whether its requests of any name that a binding matches may be.
	RequestsAny(binding string) bool
	// Replies reports whether all of a binding may be bound on our bus for it.
	Replies(binding string) bool
}

// Admits reports whether the peer may send a message that is no reply and no bind event. A
// request that is not to us is a copy for listeners, so it counts as an announcement.
func (m *Machine) Admits(msg *kbusdev.Message) bool {
	switch {
	case m.cfg.Rights == nil:
		return true
	case msg.IsRequest() && msg.WantsUsToReply():
		return m.cfg.Rights.Requests(msg.Name)
	default:
		return m.cfg.Rights.Announces(msg.Name)
	}
}

// deny ends a message that the peer may not send. A request is answered as if nobody
// were bound here.
func deny(fx []Effect, msg *kbusdev.Message) []Effect {
	if msg.WantsUsToReply() && msg.ID.Network != 0 {
		return bounce(fx, msg, kbusdev.NameRemoteErrorPrefix+"EADDRNOTAVAIL", Denied)
	}
	return drop(fx, Denied)
}

// withheld reports whether the peer is not to know of a bind event: it may ask for none
// of the names. What it knows may still go.
func (m *Machine) withheld(e kbusdev.BindEvent, holder kbusdev.KsockID) bool {
	if e.Bound || holder != e.Binder {
		return !m.mayKnow(e.Name)
	}
	return false
}

// judgeProxy notes whether the peer may bind a proxy's name.
func (m *Machine) judgeProxy(p *proxy) {
	was := p.denied
	p.denied = m.cfg.Rights != nil && !m.cfg.Rights.Replies(p.name)
	switch {
	case p.denied && !was:
		m.binds.denied++
	case was && !p.denied:
		m.binds.denied--
	}
}

// SetRights changes what the peer may do. What it may no longer bind is unbound, and what
// it may is bound; it is told that what it may no longer ask for is unbound, and a
// snapshot finds what it may ask for now.
func (m *Machine) SetRights(fx []Effect, r Rights) []Effect {
	m.cfg.Rights = r
	for _, name := range slices.Sorted(maps.Keys(m.binds.byName)) {
		p := m.binds.byName[name]
		m.judgeProxy(p)
		if p.denied {
			m.timers.stop(&p.timer)
		}
		fx = m.settle(fx, p)
	}
	for _, e := range m.told.list(m.told.turn) {
		if e.Bound = false; !m.mayKnow(e.Name) {
			m.told.unbind(e.Name, e.Binder)
			fx = m.forwardEvent(fx, &kbusdev.Message{
				Flags: kbusdev.Synthetic | kbusdev.AllOrFail,
				Name:  kbusdev.NameReplierBindEvent,
				Event: &e,
			}, e)
		}
	}
	return append(fx, Effect{Kind: Snapshot})
}
