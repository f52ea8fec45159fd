package sim

import (
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/topology"
)

// What a node knows of the networks that can be reached, as a daemon keeps it.

func (p *peering) key() topology.LinkKey { return topology.LinkKey(p.wire.source) }

// behind returns what lies behind us for the peer, who is told so.
func (p *peering) behind() []link.Network {
	p.n.reach.Delta(p.key())
	var all []link.Network
	for _, x := range p.n.reach.Behind(p.key()) {
		all = append(all, link.Network{ID: x.ID, Instance: link.InstanceID(x.Instance)})
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
	for _, id := range n.reach.Restarted() {
		n.ids.Forget(id)
	}
}

// takeTopology takes what lies behind the peer now.
func (p *peering) takeTopology(f *link.Topology) error {
	if err := p.n.reach.Update(p.key(), toTopology(f.Networks)); err != nil {
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
				p.current.SetTopology(p.behind())
				p.current.touch()
			}
		}
	}
}
