package limpet

import (
	"errors"

	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/topology"
)

// What the node knows of the networks that can be reached. n.mu is held, unless a
// function says otherwise.

func toTopology(networks []link.Network) []topology.Network {
	out := make([]topology.Network, len(networks))
	for i, n := range networks {
		out[i] = topology.Network{ID: n.ID, Instance: topology.InstanceID(n.Instance), Software: n.Software}
	}
	return out
}

func fromTopology(networks []topology.Network) []link.Network {
	out := make([]link.Network, len(networks))
	for i, n := range networks {
		out[i] = link.Network{ID: n.ID, Instance: link.InstanceID(n.Instance), Software: n.Software}
	}
	return out
}

// behind returns what lies behind us for the peer of a link.
func (n *Node) behind(key topology.LinkKey) []link.Network {
	return fromTopology(n.reach.Behind(key))
}

// join judges a peer, and takes it in. The error is a *topology.Verdict.
func (n *Node) join(p *Peering, peer *link.Greeting) error {
	if n.lawless {
		return nil
	}
	err := n.reach.Join(p.key, p.name, topology.Network{ID: peer.NetworkID, Instance: topology.InstanceID(peer.Instance), Software: peer.Software}, toTopology(peer.Behind))
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
	networks := n.reach.Restarted()
	if len(networks) == 0 {
		return
	}
	n.idsMu.Lock()
	for _, id := range networks {
		n.ids.Forget(id)
	}
	n.idsMu.Unlock()
	for _, p := range n.peerings {
		p.restarted(networks)
	}
}

// tellTopology has the peers told whose view has changed: the sender of each stream asks
// topologyFor when it can send, so that one frame tells all that has changed until then.
// A node that closes tells nobody: each link that ends would cost a word to every other
// one, which is about to end too.
func (n *Node) tellTopology() {
	if n.closed {
		return
	}
	for _, key := range n.reach.Changed() {
		if p := n.peerings[key]; p != nil && p.current != nil {
			p.current.oweTopology()
		}
	}
}

// oweTopology has the stream's sender ask topologyFor.
func (l *live) oweTopology() {
	if l.peering.classic {
		return
	}
	l.mu.Lock()
	news := l.epoch.OweTopology()
	l.mu.Unlock()
	if news {
		l.waker.Wake()
	}
}

// topologyFor returns what the peer of an epoch is to be told of what lies behind us, and
// counts it as told; nil if it knows all. n.mu is not held.
func (n *Node) topologyFor(l *live) *link.Topology {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := l.peering
	if n.closed || p.current != l || p.replaced == l {
		return nil
	}
	return TopologyChange(n.reach, p.key, hasFeature(l.peer, featureTopologyChanges))
}

// TopologyChange returns what the peer of a link is to be told of what has changed behind
// us, and m counts it as told; nil if the peer knows all. amends: the peer takes changes,
// else it is told all. It is pure but for m.
func TopologyChange(m *topology.Map, key topology.LinkKey, amends bool) *link.Topology {
	added, removed, whole := m.Delta(key)
	switch {
	case whole:
		return &link.Topology{Networks: fromTopology(added)}
	case len(added)+len(removed) == 0:
		return nil
	case !amends:
		return &link.Topology{Networks: fromTopology(m.Behind(key))}
	}
	return &link.Topology{Networks: fromTopology(added), Amends: true, Removed: removed}
}

// updateTopology takes what lies behind a peer now. The error is a *link.Error. n.mu is
// not held.
func (n *Node) updateTopology(p *Peering, t *link.Topology) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lawless {
		return nil
	}
	for _, behind := range t.Networks {
		if err := join(p.identity, p.policy, behind.ID); err != nil {
			return err
		}
	}
	var err error
	if networks := toTopology(t.Networks); t.Amends {
		err = n.reach.Amend(p.key, networks, t.Removed)
	} else {
		err = n.reach.Update(p.key, networks)
	}
	if err != nil {
		return refusal(err)
	}
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
