package sim

import (
	"cmp"
	"slices"

	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/topology"
)

// What a node knows of the networks that can be reached, as a daemon keeps it.

func (p *peering) key() topology.LinkKey { return topology.LinkKey(p.wire.source) }

// behind returns what lies behind us for the peer, who is told so.
func (p *peering) behind() []link.Network {
	p.n.reach.Delta(p.key())
	return fromTopology(p.n.reach.Behind(p.key()))
}

func fromTopology(networks []topology.Network) []link.Network {
	all := make([]link.Network, len(networks))
	for i, x := range networks {
		all[i] = link.Network{ID: x.ID, Instance: link.InstanceID(x.Instance)}
	}
	return all
}

func toTopology(networks []link.Network) []topology.Network {
	all := make([]topology.Network, len(networks))
	for i, x := range networks {
		all[i] = topology.Network{ID: x.ID, Instance: topology.InstanceID(x.Instance)}
	}
	return all
}

// join judges the peer and takes it in.
func (p *peering) join(g *link.Greeting) error {
	err := p.n.reach.Join(p.key(), p.String(), topology.Network{ID: g.NetworkID, Instance: topology.InstanceID(g.Instance)}, toTopology(g.Behind))
	p.n.forgetRestarted()
	return err
}

func (n *node) forgetRestarted() {
	networks := n.reach.Restarted()
	if len(networks) == 0 {
		return
	}
	for _, id := range networks {
		n.ids.Forget(id)
	}
	for _, p := range n.peerings {
		if p.current != nil {
			p.current.Restarted(n.w.now, networks)
			p.current.touch()
		} else {
			p.carried = limpet.LoseRestarted(p.carried, networks, &p.totals)
		}
	}
}

// takeTopology takes what lies behind the peer now.
func (p *peering) takeTopology(f *link.Topology) error {
	var err error
	if f.Amends {
		err = p.n.reach.Amend(p.key(), toTopology(f.Networks), f.Removed)
	} else {
		err = p.n.reach.Update(p.key(), toTopology(f.Networks))
	}
	if err != nil {
		return err
	}
	p.n.forgetRestarted()
	p.n.tellTopology()
	return nil
}

// tellTopology tells the peers whose view has changed.
func (n *node) tellTopology() {
	for _, key := range n.reach.Changed() {
		for _, p := range n.peerings {
			if p.key() == key && p.current != nil {
				p.current.OweTopology()
				p.current.touch()
			}
		}
	}
}

// topology returns what the peer is to be told now, nil if there is nothing.
func (l *epoch) topology() *link.Topology {
	w := l.p.n.w
	if !l.TopologyDue(w.now) {
		return nil
	}
	t := limpet.TopologyChange(l.p.n.reach, l.p.key(), w.cfg.amends)
	if t != nil {
		l.TopologyTold(w.now)
	}
	return t
}

// judgeReach holds what each daemon knows to lie behind its peers against what does.
func (w *World) judgeReach() {
	for _, x := range w.wires {
		for _, p := range x.ends {
			far := []*node{p.other().n}
			for i := 0; i < len(far); i++ { // far grows
				for _, q := range far[i].peerings {
					if n := q.other().n; q.wire != x && !slices.Contains(far, n) {
						far = append(far, n)
					}
				}
			}
			var want []topology.Network
			for _, n := range far[1:] {
				want = append(want, topology.Network{ID: n.network, Instance: topology.InstanceID(n.instance)})
			}
			slices.SortFunc(want, func(a, b topology.Network) int { return cmp.Compare(a.ID, b.ID) })
			if got := p.n.reach.Brings(p.key()); !slices.Equal(got, want) {
				w.wrong("%v knows %v behind its peer, not %v", p, got, want)
			}
		}
	}
}
