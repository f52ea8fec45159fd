package sim

import (
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// audit holds a peering's counts against the two laws.
func (w *World) audit(p *peering) {
	c := p.counts()
	if c.Requests != c.Replies+c.Synthetic+c.Open {
		w.wrong("%v: %d requests are not %d replies, %d synthetic and %d open", p, c.Requests, c.Replies, c.Synthetic, c.Open)
	}
	if inFlight := c.FromBusInFlight + c.FromPeerInFlight; p.current != nil && p.current.Why() == nil && inFlight > uint64(c.Busy) {
		w.wrong("%v: %d are in flight, only %d are held", p, inFlight, c.Busy)
	}
	const far = 1 << 40 // a difference below 0
	if c.FromBusInFlight > far || c.FromPeerInFlight > far {
		w.wrong("%v: more has ended than came: %+v", p, c)
	}
}

// missed notes that a limpet's Ksock missed what there was no room for.
func (w *World) missed(n *node, k ksock) {
	if m := k.Missed(); m > 0 {
		w.tracef("%d: ksock %d has missed %d", n.network, k.ID(), m)
		w.lost = true
	}
}

// judge looks at what is left when everything should have come to rest.
func (w *World) judge() {
	if len(w.faults) > 0 {
		return
	}
	for _, n := range w.nodes {
		for _, p := range n.peerings {
			w.judgePeering(p)
		}
	}
	for _, a := range w.askers {
		if len(a.waits) > 0 {
			w.wrong("ksock %d on bus %d still waits for %d answers", a.k.ID(), a.n.network, len(a.waits))
			for id, q := range a.waits {
				w.tracef("q%d %v %s ran %d", q.number, id, q.name, q.ran)
			}
		}
	}
	for _, n := range w.nodes {
		names := w.canBeAsked(n)
		w.judgeBus(n)
		bound := 0
		for _, b := range must(n.bus.Bindings()) {
			if b.Role == kbusdev.Replier {
				bound++
			}
		}
		for _, r := range w.repliers {
			if _, ok := n.bus.FindReplier(r.name); ok != names[r.name] {
				w.wrong("somebody replies to %s on bus %d: %v", r.name, n.network, ok)
			}
		}
		if bound != len(names) {
			w.wrong("%d names have repliers on bus %d, not %d", bound, n.network, len(names))
		}
	}
	w.judgeReach()
	w.judgeTables()
	w.judgeNews()
}

// judgeBus looks for what is left over on a bus.
func (w *World) judgeBus(n *node) {
	ksocks := len(n.peerings) + len(w.programsOn(n))
	stats := n.bus.Stats()
	if len(stats) != ksocks {
		w.wrong("%d Ksocks on bus %d, not %d", len(stats), n.network, ksocks)
	}
	for _, s := range stats { // replies that a dead asker never got stay owed
		if s.Queued+s.SetAside+s.Awaited > 0 || s.SendPending {
			w.wrong("ksock %d on bus %d is not at rest: %+v", s.ID, n.network, s)
		}
	}
}

func (w *World) programsOn(n *node) (all []*program) {
	add := func(p *program) {
		if p.n == n && p.k != nil {
			all = append(all, p)
		}
	}
	for _, p := range w.repliers {
		add(&p.program)
	}
	for _, p := range w.askers {
		add(&p.program)
	}
	for _, p := range w.announcers {
		add(&p.program)
	}
	for _, p := range w.listeners {
		add(&p.program)
	}
	return all
}

func (w *World) judgePeering(p *peering) {
	c := p.counts()
	w.judgeDrops(p, &c)
	if p.current == nil || p.stream == nil {
		w.wrong("%v has no stream", p)
		return
	}
	w.missed(p.n, p.current.ksock)
	busy := c.Busy > int(c.Wishes) // a name that somebody else holds is tried again now and then
	if busy || c.Open != 0 || c.Asked != 0 || c.FromBusInFlight != 0 || c.FromPeerInFlight != 0 || must(p.current.ksock.NumMessages()) != 0 {
		w.wrong("%v is not at rest: %+v", p, c)
	}
	if c.FromBusEnded["stalled"] > 0 || c.FromPeerEnded["refused"] > 0 {
		w.lost = true
	}
}

// judgeDrops holds what was told of drops against what is counted.
func (w *World) judgeDrops(p *peering, c *limpet.Counts) {
	for r := range translate.NumReasons {
		why := translate.Reason(r)
		for fromPeer, ended := range map[bool]map[string]uint64{false: c.FromBusEnded, true: c.FromPeerEnded} {
			if n := p.drops[drop{fromPeer, why}]; why.Loss() && n != ended[why.String()] {
				w.wrong("%v: %d drops are told for %s, of %d", p, n, why, ended[why.String()])
			}
		}
	}
}

// judgeNews holds what listeners heard against what was announced when all daemons had
// been linked for the last time.
func (w *World) judgeNews() {
	if w.lost || w.reloaded > 0 || w.linkedAt.IsZero() || len(w.nodes) > 2 && w.cfg.interest && w.epochsEnded+w.restarts > 0 {
		return // in a chain it takes time until everybody knows again what is wanted
	}
	for _, l := range w.listeners {
		if l.k.Missed() > 0 || l.born > 1 && w.cfg.interest {
			continue // it takes time until the others know what it wants
		}
		for _, n := range w.news {
			if !n.at.After(w.linkedAt) || !n.at.After(l.since) || w.mayHear(n, l) == "" {
				continue
			}
			w.mustHear++
			if !l.heard[n.number] {
				w.wrong("listener ksock %d on bus %d did not hear n%d", l.k.ID(), l.n.network, n.number)
				return
			}
		}
	}
}
