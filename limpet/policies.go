package limpet

import (
	"fmt"

	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// PolicyOf returns what a peer may do: somebody with a network id, over a link with an
// origin, see Config.Origin. It is safe for concurrent use, and calls nothing of the node.
type PolicyOf func(origin string, id rules.Identity, network uint32) *rules.Policy

// SetPolicies has the node ask f what its peers may do, those that are linked included;
// without, they may do everything. When f has other answers it is to be called again: a
// link that may not be any more is ended, and the others go on by the new rules.
func (n *Node) SetPolicies(f PolicyOf) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.policyOf = f
	n.policiesSet++
	for _, p := range n.peerings {
		n.rejudge(p)
	}
}

// rejudge judges a peer that is linked by new rules. n.mu is held.
func (n *Node) rejudge(p *Peering) {
	l := p.current
	if l == nil || p.replaced == l { // it is judged when it has greeted
		return
	}
	policy, err := n.mayJoin(p, p.identity, &link.Greeting{NetworkID: p.peer.NetworkID, Behind: fromTopology(n.reach.Brings(p.key))})
	switch {
	case err != nil:
		l.end(err, false)
		return
	case policy.Equal(p.policy): // but its rules may have other numbers
		p.policy = policy
		l.mu.Lock()
		l.epoch.Renumber(policy)
		l.mu.Unlock()
		return
	}
	p.policy = policy
	var wanted *link.Interest
	l.with(func(e *Epoch) { wanted = e.SetRules(policy) })
	l.stopWaiting() // it wants a snapshot
	if wanted != nil && p.wanted != nil {
		l.listen()
		n.tellAll(p.wanted.Take(false, wanted.Wanted, wanted.Unwanted, false))
	}
}

// policy returns what somebody may do over a peering. n.mu is held.
func (n *Node) policy(p *Peering, id rules.Identity, network uint32) *rules.Policy {
	if n.policyOf == nil {
		return nil
	}
	return n.policyOf(p.cfg.Origin, id, network)
}

// mayJoin judges the peer of a peering, and what it says lies behind it. The error is a *link.Error.
// n.mu is held.
func (n *Node) mayJoin(of *Peering, id rules.Identity, peer *link.Greeting) (*rules.Policy, error) {
	p := n.policy(of, id, peer.NetworkID)
	if err := join(id, p, peer.NetworkID); err != nil {
		return nil, err
	}
	for _, behind := range peer.Behind {
		if err := join(id, p, behind.ID); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// join judges whether somebody may have a network id. The error, unless nil, is a
// *link.Error.
func join(id rules.Identity, p *rules.Policy, network uint32) error {
	v := p.Join(network)
	if v.Allow {
		return nil
	}
	return &link.Error{Code: link.NotAuthorised, NetworkID: network, Message: fmt.Sprintf(
		"network %d may not join by a link with %s: %s", network, id, rules.Denial(v))}
}
