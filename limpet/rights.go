package limpet

import (
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// rights are what a policy lets a peer do.
type rights struct{ *rules.Policy }

// rightsOf returns what a policy lets a peer do; nil is everything, which need not be asked.
func rightsOf(p *rules.Policy) translate.Rights {
	if p.Unlimited() {
		return nil
	}
	return rights{p}
}

// Announces is translate.Rights', like the methods below.
func (r rights) Announces(name string) bool { return r.May(rules.Announce, name) }

func (r rights) Hears(name string) bool { return r.May(rules.Listen, name) }

func (r rights) Requests(name string) bool { return r.May(rules.Request, name) }

func (r rights) RequestsAny(binding string) bool { return r.Any(rules.Request, binding).Allow }

func (r rights) Replies(binding string) bool { return r.All(rules.Reply, binding).Allow }

// Origins tell over which links networks are reached, for the epoch of one link.
type Origins interface {
	// Changes returns a number that grows when an answer of Elsewhere may have changed.
	Changes() uint64
	// Elsewhere reports whether a network is reached over another link.
	Elsewhere(network uint32) bool
}

// origin is the network for which the peer was last found to speak, so that a message
// from it costs a look.
type origin struct {
	network uint32
	changes uint64
}

// foreign reports whether a message of the peer's says that it comes from a network for
// which the peer does not speak: our own one, one that is reached over another link, or
// one that the rules do not let it have. It would take the place of that network's
// messages, and get what is meant for it.
//
// A network that nothing is known of is let pass without rules: what is behind a peer is
// told a moment later than its first messages come.
func (e *Epoch) foreign(m *kbusdev.Message) bool {
	var changes uint64
	if e.cfg.Origins != nil {
		changes = e.cfg.Origins.Changes()
	}
	if e.origin.changes != changes {
		e.origin = origin{changes: changes}
	}
	id, from := m.ID.Network, m.OrigFrom.Network
	return id != 0 && id != e.origin.network && !e.speaksFor(id) ||
		from != 0 && from != e.origin.network && !e.speaksFor(from)
}

func (e *Epoch) speaksFor(network uint32) bool {
	if network == e.cfg.NetworkID || e.cfg.Origins != nil && e.cfg.Origins.Elsewhere(network) || !e.cfg.Rules.Join(network).Allow {
		return false
	}
	e.origin.network = network
	return true
}

// Renumber takes rules that let the peer do the same as those before, but may have other
// numbers. That decides nothing, so no record has it.
func (e *Epoch) Renumber(p *rules.Policy) { e.cfg.Rules = p }

// SetRules changes what the peer may do. What it may no longer do ends, as far as it lasts:
// bindings and what it hears; messages are judged by the new rules from now on. It returns
// what changes of what the peer wants to hear, for the other links; nil if nothing does.
// Whether the peer may be linked at all is not judged.
func (e *Epoch) SetRules(p *rules.Policy) *link.Interest {
	if r := e.rec; r != nil {
		return r.setRules(e, p)
	}
	if e.why != nil {
		return nil
	}
	e.cfg.Rules, e.origin = p, origin{}
	e.apply(e.rules.SetRights(nil, rightsOf(p)))
	return e.wants.setRules(p)
}
