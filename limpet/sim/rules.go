package sim

import (
	"slices"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// makeRules gives every peer rules of its own, and changes them now and then if the seed
// says so.
func (w *World) makeRules() {
	for _, n := range w.nodes {
		for _, p := range n.peerings {
			p.may = []*rules.Policy{w.randomPolicy()}
		}
	}
	if w.cfg.reloads {
		w.reload()
	}
}

// randomPolicy returns what a few random rules amount to. Everybody may join.
func (w *World) randomPolicy() *rules.Policy {
	names := []string{"$.*", "$.News.*", "$.News.%", "$.R1.*", "$.R2.*", "$.Shared.*", "$.Shared.n0", "$.News.n1", "$.News.n2"}
	all := []rules.Rule{{Allow: []string{"join"}}}
	for range w.rng.IntN(4) {
		actions := []string{"announce", "listen", "request", "reply"}
		w.rng.Shuffle(len(actions), func(i, j int) { actions[i], actions[j] = actions[j], actions[i] })
		r := rules.Rule{Names: []string{names[w.rng.IntN(len(names))], names[w.rng.IntN(len(names))]}}
		if actions = actions[:1+w.rng.IntN(3)]; w.chance(2) {
			r.Allow = actions
		} else {
			r.Deny = actions
		}
		all = append(all, r)
	}
	if !w.chance(3) {
		all = append(all, rules.Rule{Allow: []string{"all"}})
	}
	return must(rules.Compile(all)).For(rules.Identity{}, 0)
}

// reload changes what a peer may do, again and again until the world is healed.
func (w *World) reload() {
	w.after(w.upTo(10*time.Second), func() {
		if w.healed {
			return
		}
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		p := n.peerings[w.rng.IntN(len(n.peerings))]
		p.setRules(w.randomPolicy())
		w.reload()
	})
}

func (p *peering) setRules(policy *rules.Policy) {
	w, l := p.n.w, p.current
	w.tracef("%v: its peer may do other things", p)
	w.reloaded++
	p.may = append(p.may, policy)
	if l == nil {
		return
	}
	wanted := l.SetRules(policy)
	if wanted != nil && p.wanted != nil {
		l.listen()
		p.n.interest.tellAll(p.wanted.Take(false, wanted.Wanted, wanted.Unwanted, false))
	}
	l.touch()
}

// policy returns what the peer may do now.
func (p *peering) policy() *rules.Policy {
	if len(p.may) == 0 {
		return nil
	}
	return p.may[len(p.may)-1]
}

// might reports whether the peer may do something, or might before: what is under way when
// the rules change was judged by the old ones.
func (p *peering) might(judge func(*rules.Policy) bool) bool {
	return len(p.may) == 0 || slices.ContainsFunc(p.may, judge)
}

// checkRights looks whether what is done on the bus for the peer may be.
func (p *peering) checkRights(fx *translate.Effect) {
	m, name := &fx.Msg, fx.Msg.Name
	action := rules.Announce
	switch {
	case fx.Kind == translate.Bind:
		action, name = rules.Reply, fx.Name
	case fx.Kind != translate.Send || m.IsReply():
		return
	case m.IsRequest():
		action = rules.Request
	}
	if !p.might(func(r *rules.Policy) bool { return r.All(action, name).Allow }) {
		p.n.w.wrong("%v: its peer may not %v %s", p, action, name)
	}
}

// checkTold looks whether what the peer is given may be.
func (p *peering) checkTold(f link.Frame) {
	b, ok := f.(*link.Batch)
	if !ok || len(p.may) == 0 {
		return
	}
	for i := range b.Messages {
		m := &b.Messages[i]
		action, name := rules.Listen, m.Name
		switch {
		case m.Event != nil && p.n.w.spoiled > 0, m.IsReply(), m.WantsUsToReply():
			continue
		case m.Event != nil:
			action, name = rules.Request, m.Event.Name
		}
		here := p.renames.BindHere(nil, name)
		if !p.might(func(r *rules.Policy) bool {
			return slices.ContainsFunc(here, func(name string) bool { return r.Any(action, name).Allow })
		}) {
			p.n.w.wrong("%v tells its peer of %s, which it may not %v", p, name, action)
		}
	}
}

// canBeAsked returns the names that have a replier who can be asked on a bus.
func (w *World) canBeAsked(n *node) map[string]bool {
	names := make(map[string]bool)
	for _, r := range w.repliers {
		for _, at := range w.spread(r.n, r.name, func(p *peering, here, there string) bool {
			return p.policy().Any(rules.Request, here).Allow && p.other().policy().All(rules.Reply, there).Allow
		}) {
			if at.n == n {
				names[at.name] = true
			}
		}
	}
	return names
}

// mayHear returns the name by which an announcement may get to a listener, "" if it may not.
func (w *World) mayHear(n *news, l *listener) string {
	for _, at := range w.spread(n.by.n, newsFrom(n.by.n), func(p *peering, here, there string) bool {
		return p.might(func(r *rules.Policy) bool { return r.May(rules.Listen, here) }) &&
			p.other().might(func(r *rules.Policy) bool { return r.May(rules.Announce, there) })
	}) {
		if at.n == l.n {
			return at.name
		}
	}
	return ""
}

// origins tell an epoch which networks are reached over other links.
type origins struct{ p *peering }

// Changes is limpet.Origins'. The answers are looked up each time.
func (o origins) Changes() uint64 { return uint64(o.p.n.w.steps) }

// Elsewhere is limpet.Origins'.
func (o origins) Elsewhere(network uint32) bool {
	key, reached := o.p.n.reach.By(network)
	return reached && key != o.p.key()
}
