package limpet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/drops"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rename"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/table"
	"github.com/kbus-limpet/limpet/limpet/topology"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A State is that of a Peering.
type State int

// The states of a peering.
const (
	// Connecting: there is no epoch.
	Connecting State = iota + 1
	// Up: there is a stream.
	Up
	// Detached: the stream has broken, and the epoch waits for the next.
	Detached
	// Draining: the epoch is about to end.
	Draining
)

// String returns the state in lower case.
func (s State) String() string {
	return [...]string{"unknown", "connecting", "up", "detached", "draining"}[s]
}

// A Peering is another daemon that we are linked with, or want to be: an address that
// is dialled, or a peer that has dialled us. It outlives epochs and streams: its name,
// its totals and its latest losses stay. Its methods are safe for concurrent use.
type Peering struct {
	node    *Node
	name    string
	key     topology.LinkKey
	cfg     Config
	log     *slog.Logger
	dialled bool
	classic bool

	turn chan struct{} // a semaphore: one greeting at a time is judged

	// Guarded by node.mu.
	linkID   string // of the side that dials
	current  *live
	peer     *link.Greeting // the last one's
	identity rules.Identity // of the one that was admitted last
	over     string         // how its last stream was kept from others
	policy   *rules.Policy  // of the current epoch
	wanted   *table.Wanted  // nil unless there is an epoch
	state    State
	since    time.Time
	lastErr  error
	changes  uint64
	epochs   uint64
	resumed  uint64
	carried  []link.Outgoing
	replaced *live // its place in the topology has been taken
	forget   *time.Timer

	countedAs string  // see kept
	kept      Carried // what of its counts is kept already

	totals Totals // guarded by the current epoch's lock, by node.mu between epochs

	drops *drops.Part // of the links that are counted as this one; see Node.name
}

func (n *Node) newPeering(name string, cfg Config, dialled, classic bool) *Peering {
	n.lastKey++
	setDefault(&cfg.MaxNames, n.maxNames)
	p := &Peering{
		node:    n,
		name:    name,
		key:     n.lastKey,
		cfg:     cfg.withDefaults(),
		log:     n.log.With("link", name),
		dialled: dialled,
		classic: classic,
		turn:    make(chan struct{}, 1),
		state:   Connecting,
		since:   time.Now(),
	}
	p.totals.OnDrop, p.totals.Tap = p.dropped, n.taps.Point(name)
	return p
}

// NewDialled adds a peering with the daemon at an address that is dialled; name is for
// people. classic is for an address of an upstream limpet. Close takes it away.
func (n *Node) NewDialled(name string, cfg Config, classic bool) *Peering {
	n.mu.Lock()
	p := n.newPeering(name, cfg, true, classic)
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	p.linkID = string(id)
	n.peerings[p.key] = p
	n.name(p)
	n.mu.Unlock()
	n.noteChange()
	return p
}

// name decides under which name a peering, which is about to be used, is counted. node.mu is
// held.
func (n *Node) name(p *Peering) {
	n.kept.name(p)
	p.drops = n.drops.Part(drops.Link, p.countedAs)
}

// Name returns the peering's name.
func (p *Peering) Name() string { return p.name }

// Origin returns Config.Origin as it was when the peering was made.
func (p *Peering) Origin() string { return p.cfg.Origin }

// Dialled reports whether we dial the peer, else it dials us.
func (p *Peering) Dialled() bool { return p.dialled }

// HasBeenUp reports whether there has been an epoch.
func (p *Peering) HasBeenUp() bool {
	p.node.mu.Lock()
	defer p.node.mu.Unlock()
	return p.epochs > 0
}

// dropped keeps a lost message for people to look at.
func (p *Peering) dropped(fromPeer bool, why translate.Reason, m *kbusdev.Message) {
	p.drops.Add(&drops.Drop{At: time.Now(), Why: drops.Why{FromPeer: fromPeer, Reason: why.String()}, Message: *m, Link: p.name})
}

// Drops returns the latest messages that were lost, oldest first, at most drops.Kept.
func (p *Peering) Drops() []drops.Drop {
	return slices.DeleteFunc(p.drops.Latest(), func(d drops.Drop) bool { return d.Link != p.name })
}

// Failed notes why there is no link, for people to see.
func (p *Peering) Failed(err error) {
	p.node.mu.Lock()
	defer p.node.mu.Unlock()
	p.setState(p.state, err)
}

// Changes returns a number that grows when the peering gets another state, stream, peer,
// or reason why there is no link, or when other networks are behind the peer. It says
// nothing of the counts. See Node.Changed.
func (p *Peering) Changes() uint64 {
	p.node.mu.Lock()
	defer p.node.mu.Unlock()
	return p.changes
}

// changed notes that Changes changes. node.mu is held.
func (p *Peering) changed() {
	p.changes++
	p.node.noteChange()
}

// setState notes the state. node.mu is held.
func (p *Peering) setState(s State, err error) {
	changed := p.state != s
	if changed {
		p.state, p.since = s, time.Now()
	}
	if err != nil {
		changed = changed || p.lastErr == nil || p.lastErr.Error() != err.Error()
		p.lastErr = err
	}
	if changed {
		p.changed()
	}
}

// attached notes that a stream has been attached to the current epoch, and tells the
// peer what we want to hear.
func (p *Peering) attached(l *live, stream link.Stream) {
	n := p.node
	who, over := otherEnd(stream)
	n.mu.Lock()
	defer n.mu.Unlock()
	p.over = over
	resumed := l.streams > 0
	l.streams++
	p.changed()
	if resumed {
		p.resumed++
	} else {
		p.epochs++
	}
	if p.state != Draining {
		p.setState(Up, nil)
	}
	if n.tellsInterest(p, l.peer) {
		names := n.interest.For(tableSource(p))
		l.with(func(e *Epoch) { e.Interest(names) })
	}
	if resumed || p.dialled { // what was told may be lost, or older than the greeting's answer
		n.reach.Retell(p.key)
	}
	l.oweTopology()
	n.tellTopology()
	if resumed {
		l.log.Info("link resumed")
		return
	}
	l.log.Info("link up", "peer_instance", l.peer.Instance.String(), "identity", who.String(), "transport", over, "ksock", l.ksock.ID(), "pattern", p.cfg.Pattern, "peer_pattern", l.peer.Pattern)
}

// broken notes that the stream of an epoch that lives has ended.
func (p *Peering) broken(l *live, err error) {
	n := p.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.current != l || l.replacing() {
		return
	}
	p.setState(Detached, err)
	l.log.Warn("link broken; what is under way is kept until the peer comes back", "for", p.cfg.Grace, "reason", err)
}

// epochOver notes that the current epoch is over; its Ksock is closed.
func (p *Peering) epochOver(l *live) {
	n := p.node
	why := l.why()
	n.mu.Lock()
	l.mu.Lock()
	cutOff := l.epoch.cutOff
	l.epoch.Closed()
	p.carried = l.epoch.Carried()
	kept := len(p.carried)
	l.mu.Unlock()
	p.current = nil
	if n.peerings[p.key] != p {
		n.kept.keep(p) // what has been counted since
	}
	if p.replaced != l {
		n.wantNothing(p)
		n.leave(p)
	}
	p.setState(Connecting, why)
	if !p.dialled {
		p.forget = time.AfterFunc(p.cfg.Forget, func() { n.remove(p) })
	}
	n.mu.Unlock()
	n.explains.gone(p)
	level := slog.LevelWarn
	if errors.Is(why, &link.Error{Code: link.GoingAway}) {
		level = slog.LevelInfo
	}
	l.log.Log(context.Background(), level, "link down", "reason", why, "requests_cut_off", cutOff, "kept_for_the_next", kept)
}

// restarted tells the epoch, or what is kept for the next, that the daemons of networks are
// others. node.mu is held.
func (p *Peering) restarted(networks []uint32) {
	l := p.current
	if l == nil {
		p.carried = LoseRestarted(p.carried, networks, &p.totals)
		return
	}
	l.with(func(e *Epoch) { e.Restarted(time.Now(), networks) })
}

// keep stops the timer that would have the peering forgotten. node.mu is held.
func (p *Peering) keep() {
	if p.forget != nil {
		p.forget.Stop()
		p.forget = nil
	}
}

// remove takes a peering off the node unless it has, or is to have, an epoch.
func (n *Node) remove(p *Peering) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.current == nil && p.forget != nil && n.peerings[p.key] == p {
		n.kept.keep(p)
		delete(n.peerings, p.key)
		n.noteChange()
	}
}

// Drain ends the link in good order: the peer is told, what is bound for it is
// unbound, and Drain returns when nothing is open or in flight, or the drain timeout,
// ctx or the epoch ends; then the epoch is ended. A peering that is dialled is dialled
// again afterwards, by whoever does.
func (p *Peering) Drain(ctx context.Context, reason string) {
	n := p.node
	n.mu.Lock()
	l := p.current
	if l == nil {
		n.mu.Unlock()
		return
	}
	already := p.state == Draining // for somebody else
	up := already || p.state == Up
	p.setState(Draining, nil)
	n.mu.Unlock()
	if !already {
		l.log.Info("draining", "reason", reason)
	}
	if up {
		l.with(func(e *Epoch) { e.Drain(reason) })
		l.waitQuiet(ctx, p.cfg.DrainTimeout)
	}
	l.end(link.Errorf(link.GoingAway, "%s", reason), false)
	<-l.finished
	l.awaitStream()
}

// waitQuiet waits until nothing is open or in flight, or the epoch or its stream ends.
func (l *live) waitQuiet(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-l.finished:
			return
		case <-ctx.Done():
			return
		}
		queued, _ := l.ksock.NumMessages()
		l.mu.Lock()
		done := l.epoch.Quiet(queued) || !l.epoch.session.Attached()
		l.mu.Unlock()
		if done {
			return
		}
	}
}

// Close drains the peering and takes it off its node.
func (p *Peering) Close(ctx context.Context, reason string) {
	p.Drain(ctx, reason)
	n := p.node
	n.mu.Lock()
	p.keep()
	n.kept.keep(p)
	delete(n.peerings, p.key)
	n.mu.Unlock()
	n.noteChange()
}

// A Status is what a peering is doing.
type Status struct {
	Name    string
	State   State
	Since   time.Time
	LastErr error
	// Peer is the peer's last greeting; nil if there was none.
	Peer *link.Greeting
	// Identity is who was at the other end of the last stream, and Transport how that was
	// kept from others, see Identified; "" if there was none.
	Identity  rules.Identity
	Transport string
	// Renames are how names differ at the peer; nil is not at all.
	Renames *rename.Map
	// Behind are the networks behind the peer; empty unless there is an epoch.
	Behind []link.Network
	// Counts are over all epochs.
	Counts Counts
	// Ksock is that of the epoch, 0 if there is none.
	Ksock kbusdev.KsockID
	// Session is the epoch's, zero if there is none.
	Session link.SessionID
	// Epochs counts the epochs, Resumed how often a stream was resumed.
	Epochs, Resumed uint64
}

// State returns the peering's state now. It costs less than Status.
func (p *Peering) State() State {
	p.node.mu.Lock()
	defer p.node.mu.Unlock()
	return p.state
}

// Status returns what the peering is doing now.
func (p *Peering) Status() Status {
	p.node.mu.Lock()
	st, l := p.status()
	p.node.mu.Unlock()
	st.addQueued(l)
	return st
}

// status returns what the peering is doing, but for Counts.Queued, and its epoch, which may
// be nil. node.mu is held.
func (p *Peering) status() (Status, *live) {
	n := p.node
	st := Status{
		Name: p.name, State: p.state, Since: p.since, LastErr: p.lastErr, Peer: p.peer, Identity: p.identity, Transport: p.over, Behind: fromTopology(n.reach.Brings(p.key)),
		Epochs: p.epochs, Resumed: p.resumed, Renames: p.cfg.Renames,
	}
	l := p.current
	if l == nil {
		st.Counts = p.totals.Counts()
		return st, nil
	}
	l.mu.Lock()
	st.Counts = l.epoch.Counts()
	st.Session, _ = l.epoch.Session()
	l.mu.Unlock()
	st.Ksock = l.ksock.ID()
	return st, l
}

// addQueued asks the bus how much waits there for the epoch, unless it is nil.
func (st *Status) addQueued(l *live) {
	if l != nil {
		queued, _ := l.ksock.NumMessages()
		bound, _ := l.ksock.MaxMessages(0)
		st.Counts.Queued, st.Counts.QueueBound = uint64(queued), uint64(bound)
	}
}

// Wants reports whether the peer is known to want messages of this name: somebody
// listens to it there or behind there, or the peer wants everything. A peer that has not
// told yet what it wants gets everything meanwhile, but is not known to want it.
func (p *Peering) Wants(name string) bool {
	n := p.node
	n.mu.Lock()
	l := p.current
	n.mu.Unlock()
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch.Wants(name)
}

// String names the peering for logs.
func (p *Peering) String() string { return fmt.Sprintf("link %q", p.name) }
