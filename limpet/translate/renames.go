package translate

import (
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A renaming gives the bindings of one end of the link the names that they have at the
// other. Several can come to one name there, a wildcard that stands above a prefix to
// several.
type renaming struct {
	names func(dst []string, binding string) []string
	held  map[string]*standing // by the name at the other end
}

func newRenaming(names func([]string, string) []string) renaming {
	return renaming{names: names, held: make(map[string]*standing)}
}

// rename notes e, and returns what the other end sees of it. why says why that is nothing.
func (r *renaming) rename(e kbusdev.BindEvent) (out []kbusdev.BindEvent, why Reason) {
	why = NotRenamed
	for _, name := range r.names(nil, e.Name) {
		why = BindEventUsed
		s := r.held[name]
		if s == nil {
			s = new(standing)
			r.held[name] = s
		}
		if seen, changed := s.change(e, name); changed {
			out = append(out, seen)
		}
		if len(*s) == 0 {
			delete(r.held, name)
		}
	}
	return out, why
}

// tellRenamed is tellName for each name that a binding has at the peer.
func (m *Machine) tellRenamed(fx []Effect, msg *kbusdev.Message, e kbusdev.BindEvent, old bool) (_ []Effect, why Reason) {
	before := len(fx)
	parts, why := m.there.rename(e)
	for _, part := range parts {
		fx, why = m.tellName(fx, msg, part, old)
	}
	if len(fx) > before {
		why = NoReason
	}
	return fx, why
}

// hearRenamed is apply for each name that a binding of the peer has here.
func (m *Machine) hearRenamed(fx []Effect, e kbusdev.BindEvent) (_ []Effect, why Reason) {
	parts, why := m.here.rename(e)
	for _, part := range parts {
		fx, why = m.apply(fx, part)
	}
	return fx, why
}

// mayKnow reports whether the peer may ask for any name that a binding, as it is called
// there, matches.
func (m *Machine) mayKnow(there string) bool {
	if m.cfg.Rights == nil {
		return true
	}
	if m.cfg.Renames == nil {
		return m.cfg.Rights.RequestsAny(there)
	}
	for _, name := range m.cfg.Renames.BindHere(nil, there) {
		if m.cfg.Rights.RequestsAny(name) {
			return true
		}
	}
	return false
}

// unnamed ends a message of the peer's that can have no name on our bus. A request is
// answered: nobody can be bound to a name that there is not.
func unnamed(fx []Effect, msg *kbusdev.Message, why syscall.Errno) []Effect {
	if msg.WantsUsToReply() && msg.ID.Network != 0 {
		return bounce(fx, msg, kbusdev.NameRemoteErrorPrefix+kbusdev.ErrnoName(why), NotRenamed)
	}
	return drop(fx, NotRenamed)
}
