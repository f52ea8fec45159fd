package translate

import (
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// What would become of a message can be asked for without anything becoming of it. The
// judgement is that of FromBus, FromPeer and SendFailed themselves; these only leave out
// what those note about it.

// ForetellFromBus returns the first effect that FromBus would have for an announcement, a
// listeners' copy of a request, or a request that we are the replier of.
func (m *Machine) ForetellFromBus(msg *kbusdev.Message) Effect {
	var fx []Effect
	switch {
	case msg.Name == m.cfg.Termination && msg.Name != "":
		return Effect{Kind: Stop, Reason: Terminated}
	case msg.WantsUsToReply():
		fx = m.judgeRequest(nil, msg)
	case msg.Name == kbusdev.NameReplierBindEvent || msg.Name == kbusdev.NameUnbindEventsLost: // no bus has made it
		return Effect{Kind: Drop, Reason: ForgedBindEvent}
	default:
		fx = m.otherFromBus(nil, msg)
	}
	return fx[0]
}

// ForetellFromPeer returns the first effect that FromPeer would have for an announcement, a
// listeners' copy of a request, or a request.
func (m *Machine) ForetellFromPeer(msg *kbusdev.Message, facts Facts) Effect {
	if msg.Name == kbusdev.NameReplierBindEvent {
		return Effect{Kind: Drop, Reason: BadBindEvent}
	}
	return m.otherFromPeer(nil, msg, facts)[0]
}

// ForetellRefusal returns the effect that SendFailed would have for what ForetellFromPeer has
// told to send.
func (m *Machine) ForetellRefusal(of *Effect, errno syscall.Errno) Effect {
	return refused(nil, &of.Msg, errno)[0]
}

// A Claim is a name that the peer says is bound there, and that is not bound here for it.
type Claim struct {
	// Name is the binding's, as it is here.
	Name string
	// Denied reports that the peer may not bind it; else a replier of our bus has it, or it is
	// about to be bound.
	Denied bool
}

// Unbound returns the most specific claim of the peer's that would match messages of a valid
// name; false if there is none. Its cost is the length of the name.
func (m *Machine) Unbound(name string) (Claim, bool) {
	for binding := range matching(name) {
		if p := m.binds.byName[binding]; p != nil && p.wanted && !p.bound {
			return Claim{Name: binding, Denied: p.denied}, true
		}
	}
	return Claim{}, false
}

// matching calls yield for the binding names that match a valid message's name, the most
// specific first.
func matching(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if !yield(name) {
			return
		}
		for i, wildcard := len(name)-1, ".%"; i > 0; i-- {
			if name[i] != '.' {
				continue
			}
			if wildcard == ".%" && !yield(name[:i]+wildcard) {
				return
			}
			if wildcard = ".*"; !yield(name[:i] + wildcard) {
				return
			}
		}
	}
}
