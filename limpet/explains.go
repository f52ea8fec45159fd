package limpet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/topology"
)

// Explains carry for the desk of a node: they ask what would become of messages here, and
// bring questions and answers to the links.
type explains struct {
	node  *Node
	hears func(kbusdev.KsockID, *kbusdev.Message) *explain.Judgement // nil: all programs hear everything

	mu      sync.Mutex
	desk    *explain.Desk
	last    uint64                       // of operators
	waiting map[uint64]chan *explain.Hop // operators
	timer   *time.Timer
}

func (x *explains) begin(n *Node) {
	x.node, x.desk, x.waiting = n, explain.NewDesk(), make(map[uint64]chan *explain.Hop)
}

// ExplainHears has explanations ask f which programs may hear a message: it returns the rule
// that does not let the one with a Ksock, nil if none does. It is called before there is a
// link.
func (n *Node) ExplainHears(f func(kbusdev.KsockID, *kbusdev.Message) *explain.Judgement) {
	n.explains.hears = f
}

// A Query is a message of which somebody wants to know what would become of it.
type Query struct {
	// Message is its header, with a valid name. Its id and from are not known yet.
	Message kbusdev.Message
	// Link is the name of the link by whose peer it would be brought; "" is Sender.
	Link string
	// Network is where it was first sent, with Link; 0 is at the peer.
	Network uint32
	// Rules say, with Link "", what the sender may do.
	Sender Sender
	// Within is how long other daemons may take to answer.
	Within time.Duration
}

// ErrNotUp is the error of a query about a link that is not up.
var ErrNotUp = errors.New("the link is not up")

// ErrNoLink is the error of a query about a link that there is not.
var ErrNoLink = errors.New("there is no such link")

// ErrTooMany is the error of a query when there are too many others.
var ErrTooMany = errors.New("too many questions are open; ask again later")

// Explain returns what would become of a message, over all links, without sending it. It
// blocks until all daemons that must be asked have answered, or Query.Within is over: who has
// not answered then is named so. The error is one of those above, or that of ctx.
func (n *Node) Explain(ctx context.Context, q Query) (*explain.Hop, error) {
	x := &n.explains
	now := time.Now()
	done := make(chan *explain.Hop, 1)
	x.mu.Lock()
	if !x.desk.Admit(now, 0) {
		x.mu.Unlock()
		return nil, ErrTooMany
	}
	x.last++
	id := x.last
	x.mu.Unlock()

	root, asks, err := n.foretell(&q)
	if err != nil {
		return nil, err
	}
	within := min(max(q.Within, 0), explain.MaxWithin)
	x.mu.Lock()
	x.waiting[id] = done
	out := x.desk.Open(nil, now, 0, &explain.Question{ID: id, Bytes: explain.MaxOperator, Within: within}, root, asks)
	x.mu.Unlock()
	x.carry(out)
	select {
	case h := <-done:
		if h == nil {
			return nil, ErrTooMany
		}
		return h, nil
	case <-ctx.Done():
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.waiting, id)
		x.desk.Cancel(id)
		return nil, ctx.Err()
	}
}

// foretell asks what becomes of a message here.
func (n *Node) foretell(q *Query) (*explain.Hop, []explain.Ask, error) {
	s := n.site()
	if q.Link == "" {
		m := q.Message
		if m.IsRequest() && m.FinalTo.Local != 0 && m.To == 0 {
			m.To = s.standsFor(&m)
		}
		root, asks := ForetellSent(s, q.Sender, m, explain.MaxHops, explain.MaxOperator)
		return root, asks, nil
	}
	for _, l := range s.all {
		if l.Name != q.Link {
			continue
		}
		if l.live == nil || l.Peer == 0 {
			return nil, nil, fmt.Errorf("link %q: %w: %s", q.Link, ErrNotUp, l.Why)
		}
		m := q.Message
		from := cmp.Or(q.Network, l.Peer)
		m.ID.Network, m.OrigFrom.Network = from, from
		if m.IsRequest() {
			m.Flags |= kbusdev.WantYouToReply
		}
		if m.FinalTo.Local != 0 && m.To == 0 {
			m.To = m.FinalTo.Local // on the peer's bus it is a Ksock that means nothing here
		}
		root, asks := ForetellBrought(s, l.Ksock, m, explain.MaxHops, explain.MaxOperator)
		return root, asks, nil
	}
	return nil, nil, fmt.Errorf("link %q: %w", q.Link, ErrNoLink)
}

// takeExplain takes a question or an answer of the peer's. It is called with no lock held.
func (l *live) takeExplain(now time.Time, f link.Frame) error {
	l.mu.Lock()
	err := l.epoch.Control(now, f)
	l.mu.Unlock()
	if err != nil {
		l.wake()
		return err
	}
	x, key := &l.peering.node.explains, explain.Link(l.peering.key)
	switch f := f.(type) {
	case *link.Question:
		l.answer(now, &f.Question)
	case *link.Answer:
		x.mu.Lock()
		out := x.desk.Take(nil, now, key, f.ID, f.Hop)
		x.mu.Unlock()
		x.carry(out)
	}
	return nil
}

// answer looks into a question of the peer's.
func (l *live) answer(now time.Time, q *explain.Question) {
	p := l.peering
	n := p.node
	x, key := &n.explains, explain.Link(p.key)
	x.mu.Lock()
	admitted := x.desk.Admit(now, key)
	x.mu.Unlock()
	if !admitted {
		l.say(&link.Answer{ID: q.ID})
		return
	}
	root, asks := ForetellBrought(n.site(), l.ksock.ID(), q.Message, q.Hops, q.Bytes)
	if !l.administers() {
		asks = slices.DeleteFunc(asks, func(a explain.Ask) bool { return !a.Branch.Request }) // it is not told of the others
	}
	x.mu.Lock()
	out := x.desk.Open(nil, now, key, q, root, asks)
	x.mu.Unlock()
	x.carry(out)
}

// administers reports whether the peer of an epoch may administer this daemon.
func (l *live) administers() bool {
	n := l.peering.node
	n.mu.Lock()
	defer n.mu.Unlock()
	return l.peering.policy.Admin().Allow
}

// forPeer returns what the peer may be told of a hop. Whoever may administer this daemon is
// told all.
func (l *live) forPeer(h *explain.Hop) *explain.Hop {
	if l.administers() {
		return h
	}
	n, name := l.peering.node, h.Message.Name
	n.mu.Lock()
	defer n.mu.Unlock()
	return ForStranger(h, kbusdev.CheckName(name) == nil && (!n.watching || n.interest.Wants(tableSource(l.peering), name)))
}

func (l *live) say(f link.Frame) { l.with(func(e *Epoch) { e.Say(f) }) }

// carry carries out what the desk wants, and looks when it wants more. No lock is held.
func (x *explains) carry(out []explain.Out) {
	for i := range out {
		o := &out[i]
		if o.Link == 0 {
			x.mu.Lock()
			done := x.waiting[o.ID]
			delete(x.waiting, o.ID)
			x.mu.Unlock()
			if done != nil {
				done <- o.Answer
			}
			continue
		}
		l := x.node.liveOf(topology.LinkKey(o.Link))
		switch {
		case l == nil: // whoever waits is told by gone, or by the time
		case o.Question != nil:
			l.say(&link.Question{Question: *o.Question})
		case o.Answer == nil:
			l.say(&link.Answer{ID: o.ID})
		default:
			l.say(&link.Answer{ID: o.ID, Hop: l.forPeer(o.Answer)})
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	next := x.desk.Next()
	switch {
	case next.IsZero() && x.timer != nil:
		x.timer.Stop()
	case next.IsZero():
	case x.timer == nil:
		x.timer = time.AfterFunc(time.Until(next), x.tick)
	default:
		x.timer.Reset(time.Until(next))
	}
}

func (x *explains) tick() {
	x.mu.Lock()
	out := x.desk.Tick(nil, time.Now())
	x.mu.Unlock()
	x.carry(out)
}

// gone notes that a link has no epoch any more.
func (x *explains) gone(p *Peering) {
	x.mu.Lock()
	out := x.desk.Gone(nil, explain.Link(p.key))
	x.mu.Unlock()
	x.carry(out)
}

// liveOf returns the epoch of a link, nil if it has none.
func (n *Node) liveOf(key topology.LinkKey) *live {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peerings[key]; p != nil {
		return p.current
	}
	return nil
}

// A nodeSite is a node's Site, with the links that there were when it was made.
type nodeSite struct {
	node    *Node
	all     []siteLimpet // by name
	byKsock map[kbusdev.KsockID]int
}

type siteLimpet struct {
	Limpet
	live *live
}

// site returns the site of the node as it is now. No lock is held.
func (n *Node) site() *nodeSite {
	s := &nodeSite{node: n, byKsock: make(map[kbusdev.KsockID]int)}
	n.mu.Lock()
	for _, p := range n.peerings {
		l := siteLimpet{Limpet: Limpet{Name: p.name, Key: explain.Link(p.key), Classic: p.classic}, live: p.current}
		if p.peer != nil {
			l.Peer = p.peer.NetworkID
		}
		if p.current != nil {
			l.Ksock, l.Asks = p.current.ksock.ID(), hasFeature(p.current.peer, featureExplain)
		} else if l.Why = p.state.String(); p.lastErr != nil {
			l.Why += ": " + p.lastErr.Error()
		}
		s.all = append(s.all, l)
	}
	n.mu.Unlock()
	slices.SortFunc(s.all, func(a, b siteLimpet) int { return cmp.Compare(a.Name, b.Name) })
	for i := range s.all {
		if s.all[i].live != nil {
			s.byKsock[s.all[i].Ksock] = i
		}
	}
	return s
}

// NetworkID is Site's, like the methods below.
func (s *nodeSite) NetworkID() uint32 { return s.node.networkID }

// A router is a bus that tells who would get a message.
type router interface {
	Route(from kbusdev.KsockID, m *kbusdev.Message) (kbusdev.Route, error)
}

func (s *nodeSite) Route(from kbusdev.KsockID, m *kbusdev.Message) (kbusdev.Route, error) {
	if r, ok := s.node.bus.(router); ok {
		return r.Route(from, m)
	}
	all, err := s.node.bus.Bindings()
	if err != nil {
		return kbusdev.Route{}, fmt.Errorf("the bindings of %s: %v", s.node.bus, err) //nolint:errorlint // no errno of a send
	}
	return kbusdev.RouteOf(all, m)
}

func (s *nodeSite) Hears(k kbusdev.KsockID, m *kbusdev.Message) *explain.Judgement {
	if s.node.explains.hears == nil {
		return nil
	}
	return s.node.explains.hears(k, m)
}

func (s *nodeSite) Limpet(k kbusdev.KsockID, f func(Limpet)) bool {
	i, is := s.byKsock[k]
	if is {
		s.all[i].ask(f)
	}
	return is
}

func (s *nodeSite) Limpets(f func(Limpet)) {
	for i := range s.all {
		s.all[i].ask(f)
	}
}

func (l *siteLimpet) ask(f func(Limpet)) {
	if l.live == nil {
		f(l.Limpet)
		return
	}
	l.live.mu.Lock()
	defer l.live.mu.Unlock()
	asked := l.Limpet
	asked.Epoch = l.live.epoch
	f(asked)
}

// standsFor returns the Ksock on this bus that a request that insists on a replier, perhaps far
// away, would be sent to: that replier's own, or the limpet's behind which its network lies,
// or, if that is not known yet, whoever replies here to the name.
func (s *nodeSite) standsFor(m *kbusdev.Message) kbusdev.KsockID {
	n, network := s.node, m.FinalTo.Network
	if network == 0 || network == n.networkID {
		return m.FinalTo.Local
	}
	n.mu.Lock()
	key, reached := n.reach.By(network)
	var l *live
	if p := n.peerings[key]; reached && p != nil {
		l = p.current
	}
	n.mu.Unlock()
	if l != nil {
		return l.ksock.ID()
	}
	route, _ := s.Route(0, m)
	return route.Replier.Ksock
}
