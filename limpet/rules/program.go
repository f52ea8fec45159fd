package rules

import "github.com/kbus-limpet/limpet/kbusdev"

// What a program does with messages and names of its bus. A nil *Policy allows all.

// Sends reports whether a program may send an announcement or a request. A reply that asks
// for one is judged as a request; another reply, which somebody asked for, is allowed.
func (p *Policy) Sends(m *kbusdev.Message) bool {
	switch {
	case m.IsRequest():
		return p.May(Request, m.Name)
	case m.IsReply():
		return true
	default:
		return p.May(Announce, m.Name)
	}
}

// Hears reports whether a program may hear a message as listener.
func (p *Policy) Hears(m *kbusdev.Message) bool {
	return p.May(Listen, m.Name) && (m.Event == nil || p.Sees(m.Event.Name))
}

// Binds reports whether a program may bind a valid name: as replier if it may reply to all
// that the name matches, as listener if it may hear any of it.
func (p *Policy) Binds(name string, as kbusdev.Role) bool {
	if as == kbusdev.Replier {
		return p.All(Reply, name).Allow
	}
	return p.Any(Listen, name).Allow
}
