package limpet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/table"
	"github.com/kbus-limpet/limpet/limpet/topology"
)

// What the sides of a link may know beyond its version.
const (
	// featureInterest says that a side tells what it wants to hear.
	featureInterest = "interest"
	// featureDrain says that a side answers a Drain when it need not be waited for.
	featureDrain = "drain"
	// featureTopologyChanges says that a side takes what has changed behind the other one
	// in place of the whole.
	featureTopologyChanges = "topology-changes"
	// featureExplain says that a side answers a Question.
	featureExplain = "explain"
)

func hasFeature(g *link.Greeting, feature string) bool { return slices.Contains(g.Features, feature) }

func tableSource(p *Peering) table.Source { return table.Source(p.key) }

// maxPeerings bounds the peerings that peers may open.
const maxPeerings = 1024

// The first peerings that peers open have the window of the configuration, those after them
// no more than a small one: what the queues of all may hold must not grow with maxPeerings.
const (
	fullWindows = 32
	smallWindow = 512 << 10 // bytes
)

// errClosed is what peers are told when the daemon stops.
var errClosed = &link.Error{Code: link.GoingAway, Message: "the daemon is stopping"}

// Dial greets the peer on a stream that we have opened, and serves it until it breaks.
// It returns why, never nil; once the epoch has ended too, that is why it has. onUp is
// called when the peer has been admitted. The stream is closed then. One Dial at a time
// may be called for a peering.
func (p *Peering) Dial(ctx context.Context, stream link.Stream, onUp func()) error {
	n := p.node
	ours := n.greeting(p)
	peer, err := link.Greet(ctx, stream, ours)
	if err == nil {
		if err = ours.Judge(peer); err != nil {
			link.Refuse(stream, err, true)
		}
	}
	if err != nil {
		return err
	}
	with, _ := otherEnd(stream)
	l, _, err := n.admit(ctx, p, peer, with, func() (link.SessionID, error) {
		if peer.Session == ours.Session && !p.classic {
			return peer.Session, link.Errorf(link.Expired, "the session that was to be resumed is over")
		}
		return peer.Session, nil
	})
	if err != nil {
		link.Refuse(stream, err, true)
		return err
	}
	if onUp != nil {
		onUp()
	}
	ctx, release := l.claim(ctx)
	return l.serve(ctx, release, stream, peer.Expected)
}

// Accept hears the peer on a stream that it has opened, and serves it until it breaks.
// It returns why, never nil. The stream is closed then.
func (n *Node) Accept(ctx context.Context, stream link.Stream, cfg Config) error {
	return n.accept(ctx, stream, cfg, false)
}

// AcceptClassic is Accept for a connection of an upstream limpet, on which each side
// greets without waiting for the other.
func (n *Node) AcceptClassic(ctx context.Context, stream link.Stream, cfg Config) error {
	return n.accept(ctx, stream, cfg, true)
}

func (n *Node) accept(ctx context.Context, stream link.Stream, cfg Config, classic bool) error {
	peer, err := n.Hear(ctx, stream, cfg, classic)
	if err != nil {
		return err
	}
	return n.Serve(ctx, stream, peer, cfg, classic)
}

// Hear is the first half of Accept, or AcceptClassic: it returns the greeting of a peer that
// has opened a stream. It waits at most 10 s. If it fails the stream is closed.
func (n *Node) Hear(ctx context.Context, stream link.Stream, cfg Config, classic bool) (*link.Greeting, error) {
	if classic {
		return link.Greet(ctx, stream, n.baseGreeting(cfg.withDefaults()))
	}
	return link.Hear(ctx, stream)
}

// Serve is the second half, with what Hear has returned.
func (n *Node) Serve(ctx context.Context, stream link.Stream, peer *link.Greeting, cfg Config, classic bool) error {
	refuse := func(err error) error {
		link.Refuse(stream, err, classic)
		return err
	}
	ours := n.baseGreeting(cfg.withDefaults())
	if err := ours.Judge(peer); err != nil {
		return refuse(err)
	}
	p, err := n.accepted(peer, cfg, classic)
	if err != nil {
		return refuse(err)
	}
	ours.WindowBytes = p.cfg.WindowBytes
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return refuse(errClosed)
	}
	with, _ := otherEnd(stream)
	l, resumed, err := n.admit(ctx, p, peer, with, newSessionID)
	if err != nil {
		<-p.turn
		return refuse(err)
	}
	ctx, release := l.claim(ctx) // then nothing more is received on an older stream
	<-p.turn
	if !classic {
		ours.Behind = l.told
		ours.Session, ours.Expected = l.where()
		if err := stream.Send(ours); err != nil {
			release()
			stream.Close()
			return fmt.Errorf("answering the greeting: %w", err)
		}
	}
	expected := uint64(1)
	if resumed {
		expected = peer.Expected // else that was of another session
	}
	return l.serve(ctx, release, stream, expected)
}

func newSessionID() (id link.SessionID, err error) {
	_, _ = rand.Read(id[:]) // never fails
	return id, nil
}

// baseGreeting returns what we say to everybody.
func (n *Node) baseGreeting(cfg Config) *link.Greeting {
	g := &link.Greeting{
		Version:        link.ProtocolVersion,
		NetworkID:      n.networkID,
		Instance:       n.instance,
		Pattern:        cfg.Pattern,
		MaxMessageSize: n.maxSize,
		WindowMessages: cfg.WindowMessages,
		WindowBytes:    cfg.WindowBytes,
		Expected:       1,
		Features:       []string{featureDrain, featureTopologyChanges, featureExplain},
		Software:       n.software,
	}
	if n.watching && !cfg.AllInterest {
		g.Features = append(g.Features, featureInterest)
	}
	return g
}

// greeting returns what we say to a peer that we dial.
func (n *Node) greeting(p *Peering) *link.Greeting {
	g := n.baseGreeting(p.cfg)
	n.mu.Lock()
	defer n.mu.Unlock()
	g.LinkID = p.linkID
	if !n.lawless {
		g.Behind = n.behind(p.key)
	}
	if l := p.current; l != nil && l.why() == nil {
		g.Session, g.Expected = l.where()
	}
	return g
}

// accepted returns the peering of a peer that dials us, a new one if it is a stranger.
// A new one is put on the node when it is admitted.
func (n *Node) accepted(peer *link.Greeting, cfg Config, classic bool) (*Peering, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errClosed
	}
	count := 0
	for _, p := range n.peerings {
		if p.dialled {
			continue
		}
		count++
		if p.classic != classic || p.peer.NetworkID != peer.NetworkID || n.lawless && (classic || p.linkID != peer.LinkID) {
			continue
		}
		if l := p.current; l != nil && peer.Instance == l.peer.Instance && peer.LinkID != p.linkID {
			return nil, &link.Error{Code: link.Loop, NetworkID: peer.NetworkID, Message: fmt.Sprintf("network %d is linked already, as %q", peer.NetworkID, p.name)}
		}
		return p, nil
	}
	if count >= maxPeerings {
		return nil, link.Errorf(link.GoingAway, "%d peers are known here, there can be no more until one is forgotten", count)
	}
	if count >= fullWindows {
		cfg = cfg.withDefaults()
		cfg.WindowBytes = min(cfg.WindowBytes, smallWindow)
	}
	name := fmt.Sprintf("network %d", peer.NetworkID)
	if classic {
		name += " (classic)"
	}
	if n.lawless {
		name += fmt.Sprintf(" (%x)", peer.LinkID)
	}
	return n.newPeering(name, cfg, false, classic), nil
}

// admit judges a peer, and returns the epoch that the stream is for: the current one
// if the peer resumes it, else a new one with a session from session, after the current
// one has been ended. A peer that is refused changes nothing. The error is for the peer.
func (n *Node) admit(ctx context.Context, p *Peering, peer *link.Greeting, with rules.Identity, session func() (link.SessionID, error)) (_ *live, resumed bool, err error) {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil, false, errClosed
	}
	asked := n.policiesSet
	policy, err := n.mayJoin(p, with, peer)
	if err != nil {
		n.mu.Unlock()
		return nil, false, err
	}
	cur := p.current
	if cur != nil && cur.why() != nil { // it is ending
		n.mu.Unlock()
		<-cur.finished
		n.mu.Lock()
		cur = nil
	}
	if cur != nil && peer.Instance != cur.peer.Instance && !n.gone(ctx, cur) {
		n.mu.Unlock()
		return nil, false, &link.Error{Code: link.Clash, NetworkID: peer.NetworkID, Message: fmt.Sprintf(
			"two daemons have network id %d: one is linked already, as %q; give each bus its own with --network-id", peer.NetworkID, p.name)}
	}
	if err := n.joinOrReplace(ctx, p, peer); err != nil {
		n.mu.Unlock()
		return nil, false, refusal(err)
	}
	p.keep()
	n.peerings[p.key] = p
	n.name(p)
	if !p.dialled {
		p.linkID = peer.LinkID
	}
	p.peer = peer
	p.identity = with
	if cur != nil && cur.why() == nil && cur.resumedBy(peer) && policy.Equal(p.policy) { // else others are at the other end
		cur.told = n.told(p)
		n.tellTopology()
		n.mu.Unlock()
		return cur, true, nil
	}
	var k kbusdev.Ksock
	if cur != nil {
		p.replaced = cur
		n.mu.Unlock()
		k = cur.makeWay(link.Errorf(link.Expired, "the peer has begun anew"))
		n.mu.Lock()
	}
	p.policy = policy
	n.beginWanted(p, peer)
	told := n.told(p)
	n.mu.Unlock()
	id, err := session()
	var l *live
	if err == nil {
		l, err = p.begin(peer, id, told, k)
	} else if k != nil {
		_ = k.Close()
		n.serve(k.ID(), false)
	}
	if err != nil {
		n.mu.Lock()
		n.wantNothing(p)
		n.leave(p)
		p.setState(Connecting, err)
		n.mu.Unlock()
		return nil, false, err
	}
	n.mu.Lock()
	if n.policiesSet != asked { // meanwhile
		n.rejudge(p)
	}
	n.tellTopology()
	n.mu.Unlock()
	return l, false, nil
}

// told returns what lies behind us for a peer that is told so in a greeting. n.mu is
// held.
func (n *Node) told(p *Peering) []link.Network {
	if n.lawless {
		return nil
	}
	if !p.dialled {
		n.reach.Delta(p.key) // it is told in our greeting
	}
	return n.behind(p.key)
}

// joinOrReplace takes the peer into the topology. When that fails because of another
// link to the same network, whose peer is gone, that one's epoch is ended first. n.mu is
// held, and given up meanwhile.
func (n *Node) joinOrReplace(ctx context.Context, p *Peering, peer *link.Greeting) error {
	for {
		err := n.join(p, peer)
		var v *topology.Verdict
		if !errors.As(err, &v) || v.Kind != topology.Clash || !v.ByLink {
			return err
		}
		q := n.peerings[v.Link]
		if q == nil || q == p || q.current == nil || q.peer.NetworkID != peer.NetworkID {
			return err
		}
		other := q.current
		if !n.gone(ctx, other) {
			return err
		}
		n.mu.Unlock()
		other.end(link.Errorf(link.Expired, "the peer has begun anew"), true)
		<-other.finished
		n.mu.Lock()
	}
}

// probeTime is how long a peer that is thought to be gone has for a sign of life: more
// than link.PingEvery.
const probeTime = link.PingEvery + time.Second

// gone reports whether nothing is heard of an epoch's peer any more, so that another
// instance may take its place. n.mu is held, and given up meanwhile.
func (n *Node) gone(ctx context.Context, l *live) bool {
	n.mu.Unlock()
	defer n.mu.Lock()
	before, attached := l.heard()
	if !attached {
		return true
	}
	timeout := time.NewTimer(probeTime)
	defer timeout.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if now, attached := l.heard(); !attached || now != before {
				return !attached
			}
		case <-timeout.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}
