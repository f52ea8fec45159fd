package limpet

import (
	"errors"

	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/topology"
)

// What the node knows of the networks that can be reached. n.mu is held, but for
// updateTopology.

func toTopology(networks []link.Network) []topology.Network {
	out := make([]topology.Network, len(networks))
	for i, n := range networks {
		out[i] = topology.Network{ID: n.ID, Instance: topology.InstanceID(n.Instance)}
	}
	return out
}

// behind returns what lies behind us for the peer of a link.
func (n *Node) behind(key topology.LinkKey) []link.Network {
	networks := n.reach.Behind(key)
	out := make([]link.Network, len(networks))
	for i, x := range networks {
		out[i] = link.Network{ID: x.ID, Instance: link.InstanceID(x.Instance)}
	}
	return out
}

// join judges a peer, and takes it in. The error is a *topology.Verdict.
func (n *Node) join(p *Peering, peer *link.Greeting) error {
	if n.lawless {
		return nil
	}
	err := n.reach.Join(p.key, p.name, topology.Network{ID: peer.NetworkID, Instance: topology.InstanceID(peer.Instance)}, toTopology(peer.Behind))
	if err == nil {
		n.forgetRestarted()
	}
	return err
}

// leave forgets what a link brought.
func (n *Node) leave(p *Peering) {
	n.reach.Leave(p.key)
	n.tellTopology()
}

// forgetRestarted forgets the ids of networks whose daemon is a new one: its machine may
// have been started again, and the serial numbers with it.
func (n *Node) forgetRestarted() {
	for _, id := range n.reach.Restarted() {
		n.idsMu.Lock()
		n.ids.Forget(id)
		n.idsMu.Unlock()
	}
}

// tellTopology tells the peers whose view has changed. A node that closes tells nobody:
// each link that ends would cost a word to every other one, which is about to end too.
func (n *Node) tellTopology() {
	if n.closed {
		return
	}
	for _, key := range n.reach.Changed() {
		p := n.peerings[key]
		if p == nil || p.current == nil {
			continue
		}
		n.reach.Delta(key) // counts it as told
		networks := n.behind(key)
		p.current.with(func(e *Epoch) { e.SetTopology(networks) })
	}
}

// updateTopology takes what lies behind a peer now. The error is a *link.Error.
func (n *Node) updateTopology(p *Peering, networks []link.Network) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lawless {
		return nil
	}
	if err := n.reach.Update(p.key, toTopology(networks)); err != nil {
		return refusal(err)
	}
	p.behind = networks
	p.changed()
	n.forgetRestarted()
	n.tellTopology()
	return nil
}

// refusal returns a verdict as it is told to the peer.
func refusal(err error) error {
	var v *topology.Verdict
	if !errors.As(err, &v) {
		return err
	}
	code, ok := map[topology.Kind]link.Code{
		topology.SameNetwork: link.SameNetworkID,
		topology.Loop:        link.Loop,
		topology.Duplicate:   link.Loop,
		topology.Clash:       link.Clash,
	}[v.Kind]
	if !ok {
		code = link.Protocol
	}
	return &link.Error{Code: code, NetworkID: v.Network.ID, Message: v.Message}
}
