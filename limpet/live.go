package limpet

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A live is an epoch that runs: its Ksock, the lock around it, and two pumps, one from
// the bus and one to it. Streams are attached to it one after the other; it is their
// link.Driver.
type live struct {
	peering *Peering
	ksock   kbusdev.Ksock
	log     *slog.Logger
	peer    *link.Greeting
	session link.SessionID
	told    []link.Network // what our greeting says lies behind us; set by admit for the stream that it admits
	streams int            // how many have been attached; guarded by Node.mu

	mu     sync.Mutex // guards these; taken after Node.mu and writing, never before
	epoch  *Epoch
	busDue time.Time // when the pump to the bus looks at the epoch by itself

	writing sync.Mutex // of who gives the bus what the epoch has for it
	written bool       // nobody does any more; guarded by writing
	dos     []Do       // guarded by writing

	waker    *link.Waker   // there may be something for the stream
	wakeBus  chan struct{} // there may be something to be done on the bus
	wakeRead chan struct{} // the window may have room
	mayRead  chan struct{} // the next frame may be read
	finished chan struct{} // the epoch is over, and the Ksock closed

	topologyDue atomic.Bool // the peer may have to be told what lies behind us
	topologyAt  time.Time   // when it was told last; of who sends on the stream

	followed bool          // guarded by mu: another epoch follows at once
	next     kbusdev.Ksock // for that one, once this one is finished; nil if there is none
	heardNow atomic.Pointer[func() uint64]

	claimMu sync.Mutex
	holder  *claim // the stream that is attached, or about to be
	waiters int
}

// A claim is one stream's turn to be attached to an epoch.
type claim struct {
	cancel context.CancelCauseFunc
	gone   chan struct{}
}

// begin starts the pumps of a new epoch, which has no stream yet. k is its Ksock; nil is
// one to be opened. The error is for the peer.
func (p *Peering) begin(peer *link.Greeting, session link.SessionID, told []link.Network, k kbusdev.Ksock) (*live, error) {
	n, cfg := p.node, p.cfg
	if k == nil {
		var err error
		if k, err = n.openKsock(cfg); err != nil {
			return nil, link.Errorf(link.BusFailed, "opening %s: %v", n.bus, err)
		}
	}
	l := &live{
		peering:  p,
		ksock:    k,
		log:      p.log.With("peer_network", peer.NetworkID),
		peer:     peer,
		session:  session,
		told:     told,
		waker:    link.NewWaker(),
		wakeBus:  make(chan struct{}, 1),
		wakeRead: make(chan struct{}, 1),
		mayRead:  make(chan struct{}, 1),
		finished: make(chan struct{}),
	}
	now := time.Now()
	ec := EpochConfig{
		Config:        cfg,
		NetworkID:     n.networkID,
		PeerNetworkID: peer.NetworkID,
		Ksock:         k.ID(),
		Session: link.SessionConfig{
			ID:             session,
			WindowMessages: int(min(peer.WindowMessages, cfg.WindowMessages)),
			WindowBytes:    int(min(peer.WindowBytes, cfg.WindowBytes)),
			NoAcks:         p.classic,
		},
		LosesUnread: losesUnread(n.bus),
		IDs:         lockedIDs{n},
		Interest:    hasFeature(peer, featureInterest),
		Narrows:     canNarrow(k),
		DrainDone:   hasFeature(peer, featureDrain),
		Totals:      &p.totals,
	}
	if cfg.Trace {
		ec.Inspect = l.trace
	}
	l.epoch = NewEpoch(ec, now)
	n.mu.Lock()
	if n.closed { // meanwhile, so nobody would end the epoch
		n.mu.Unlock()
		_ = k.Close()
		n.serve(k.ID(), false)
		return nil, errClosed
	}
	l.epoch.Adopt(now, p.carried)
	p.carried, p.replaced, p.current = nil, nil, l
	p.keep() // the end of an epoch that this one replaces has set the timer again
	n.mu.Unlock()
	go l.run()
	return l, nil
}

// openKsock sets a fresh Ksock up, in the order that the rules give.
func (n *Node) openKsock(cfg Config) (kbusdev.Ksock, error) {
	k, err := n.bus.Open(kbusdev.ReadWrite)
	if err != nil {
		return nil, err
	}
	n.serve(k.ID(), true)
	_, err = k.MaxMessages(cfg.MaxMessages)
	if err == nil {
		_, err = k.OnlyOnce(kbusdev.On)
	}
	if own, ok := k.(interface{ NotOwn() }); ok && cfg.Termination == "" { // the termination message may be the peer's
		own.NotOwn()
	}
	if err == nil {
		err = k.Bind(cfg.Pattern, kbusdev.Listener)
	}
	if err == nil && !kbusdev.Matches(cfg.Pattern, kbusdev.NameReplierBindEvent) {
		err = k.Bind(kbusdev.NameReplierBindEvent, kbusdev.Listener)
	}
	if err != nil {
		_ = k.Close()
		n.serve(k.ID(), false)
		return nil, err
	}
	return k, nil
}

// run runs the pumps until the epoch is over, then closes the Ksock: the bus answers
// what is left in its queue.
func (l *live) run() {
	ctx, stopReading := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() { l.busFailed(l.read(ctx)) })
	l.write()
	stopReading()
	reading.Wait()
	l.openNext()
	l.readRest()
	l.write() // what the reader had in its hand, and the rest
	l.writing.Lock()
	l.written = true
	l.writing.Unlock()
	n := l.peering.node
	if err := l.ksock.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		l.log.Warn("closing the Ksock", "error", err)
	}
	n.serve(l.ksock.ID(), false)
	l.peering.epochOver(l)
	close(l.finished)
}

// openNext opens the Ksock of the epoch that follows at once, so that no announcement
// falls between the two. Nothing that the peer has sent is given to the bus any more, so
// the new one reads none of that; and what both have read the peer knows by its id.
func (l *live) openNext() {
	l.mu.Lock()
	followed := l.followed
	l.mu.Unlock()
	if !followed || l.peering.classic { // an upstream limpet knows no ids
		return
	}
	l.next, _ = l.peering.node.openKsock(l.peering.cfg) // begin tries again, and says what is wrong
}

// makeWay ends the epoch for one that follows at once, waits until it is over, and
// returns the Ksock for the other, or nil.
func (l *live) makeWay(why error) kbusdev.Ksock {
	l.mu.Lock()
	l.followed = true
	l.epoch.End(time.Now(), why, true)
	l.mu.Unlock()
	l.wake()
	<-l.finished
	return l.next
}

// busFailed ends the epoch because of the bus, unless it has ended.
func (l *live) busFailed(err error) {
	switch {
	case err == nil || errors.Is(err, context.Canceled):
	case errors.Is(err, ErrTerminated):
		l.end(link.Errorf(link.GoingAway, "%v", err), false)
		l.peering.node.terminate()
	default:
		l.log.Error("the bus failed", "error", err)
		l.end(link.Errorf(link.BusFailed, "%v", err), false)
	}
}

// end ends the epoch; it does not wait until it is over.
func (l *live) end(why error, carry bool) {
	l.mu.Lock()
	l.epoch.End(time.Now(), why, carry)
	l.mu.Unlock()
	l.wake()
}

// Sleepers are who may have something to do that they would not notice by themselves.
type sleepers struct {
	send  time.Time // when there is something for the stream; zero is now
	light bool      // it can be sent by whoever has put it there
	bus   bool
}

// sleepers returns who is to be woken after something that has changed the epoch. l.mu is
// held.
func (l *live) sleepers() sleepers {
	next := l.epoch.NextTime()
	return sleepers{
		send:  l.epoch.Due(),
		light: l.epoch.Light() && !l.topologyDue.Load(),
		bus:   l.epoch.Busy() || !next.IsZero() && next.Before(l.busDue),
	}
}

// rouse wakes them, or does in their place what can be done at once.
func (l *live) rouse(s sleepers) {
	if s.bus {
		signal(l.wakeBus)
	}
	l.waker.Rouse(s.send, s.light)
}

// wake makes everybody look at the epoch again.
func (l *live) wake() {
	l.waker.Wake()
	signal(l.wakeBus)
	signal(l.wakeRead)
	signal(l.mayRead)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// with runs f on the epoch, then wakes everybody.
func (l *live) with(f func(e *Epoch)) {
	l.mu.Lock()
	f(l.epoch)
	l.mu.Unlock()
	l.wake()
}

// serve attaches a stream, which has the turn, to the epoch until it breaks, and
// returns why it has; when the epoch has ended, it returns why that has, once the epoch
// is over.
func (l *live) serve(ctx context.Context, release func(), stream link.Stream, peerExpected uint64) error {
	heard := stream.Heard
	l.heardNow.Store(&heard)
	l.mu.Lock()
	err := l.epoch.Attach(time.Now(), peerExpected)
	l.mu.Unlock()
	if err != nil {
		l.end(err, false)
		link.Refuse(stream, err, false)
	} else {
		l.peering.attached(l)
		l.wake()
		err = link.Attach(ctx, stream, l)
		l.mu.Lock()
		l.epoch.Detach(time.Now(), err)
		l.mu.Unlock()
		l.wake()
	}
	l.heardNow.Store(nil)
	why := l.why()
	if why == nil {
		l.peering.broken(l, err)
	}
	release()
	if why != nil {
		<-l.finished
		return why
	}
	return err
}

var errReplaced = &link.Error{Code: link.Replaced, Message: "the peer has dialled again"}

// claim ends the stream that is attached, waits until it is gone, and takes its place,
// until release is called. The context it returns ends with the turn.
func (l *live) claim(ctx context.Context) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	mine := &claim{cancel: cancel, gone: make(chan struct{})}
	l.claimMu.Lock()
	l.waiters++
	for l.holder != nil {
		other := l.holder
		l.claimMu.Unlock()
		other.cancel(errReplaced)
		<-other.gone
		l.claimMu.Lock()
	}
	l.waiters--
	l.holder = mine
	l.claimMu.Unlock()
	return ctx, func() {
		l.claimMu.Lock()
		l.holder = nil
		l.claimMu.Unlock()
		cancel(nil)
		close(mine.gone)
	}
}

// awaitStream blocks until the stream that is attached, if there is one, is closed: the
// epoch has ended, and the peer is being told why.
func (l *live) awaitStream() {
	l.claimMu.Lock()
	holder := l.holder
	l.claimMu.Unlock()
	if holder != nil {
		<-holder.gone
	}
}

// resumedBy reports whether a greeting is of the same instance, and for this session.
func (l *live) resumedBy(peer *link.Greeting) bool {
	return peer.Instance == l.peer.Instance && peer.Session == l.session && !l.peering.classic
}

// replacing reports whether another stream waits for the turn.
func (l *live) replacing() bool {
	l.claimMu.Lock()
	defer l.claimMu.Unlock()
	return l.waiters > 0
}

// where returns the session, and the sequence number that we expect next.
func (l *live) where() (link.SessionID, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch.Session()
}

// why returns why the epoch has ended, nil if it lives.
func (l *live) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch.Why()
}

// heard returns a number that changes when something is heard of the peer, and whether
// there is a stream.
func (l *live) heard() (uint64, bool) {
	f := l.heardNow.Load()
	if f == nil {
		return 0, false
	}
	return (*f)(), true
}

// NextFrame is link.Driver's.
func (l *live) NextFrame(now time.Time) (link.Frame, time.Time, bool) {
	t, later := l.nextTopology(now)
	if t != nil {
		return t, time.Time{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, again, over := l.epoch.NextFrame(now)
	if f == nil && !later.IsZero() && later.Before(again) {
		again = later
	}
	return f, again, over
}

// topologyEvery is how often a peer is told of changes of the topology, at most. The
// first is told at once; when many peers join a hub, one frame tells each of several.
const topologyEvery = 250 * time.Millisecond

// nextTopology returns what the peer is to be told now of what lies behind us, or nil,
// and when to ask again if it is too soon.
func (l *live) nextTopology(now time.Time) (t *link.Topology, later time.Time) {
	if !l.topologyDue.Load() {
		return nil, later
	}
	if later = l.topologyAt.Add(topologyEvery); now.Before(later) {
		return nil, later
	}
	l.topologyDue.Store(false)
	if l.why() == nil {
		t = l.peering.node.topologyFor(l)
	}
	if t != nil {
		l.topologyAt = now
	}
	return t, time.Time{}
}

// Flushed is link.Driver's.
func (l *live) Flushed(now time.Time) {
	l.mu.Lock()
	hungry := l.epoch.Appetite() > 0
	l.epoch.Flushed(now)
	wake := !hungry && l.epoch.Appetite() > 0
	l.mu.Unlock()
	if wake {
		signal(l.wakeRead)
	}
}

// TakeFrame is link.Driver's.
func (l *live) TakeFrame(now time.Time, f link.Frame) error {
	if t, ok := f.(*link.Topology); ok {
		return l.takeTopology(t)
	}
	l.mu.Lock()
	hungry := l.epoch.Appetite() > 0
	err := l.epoch.TakeFrame(now, f)
	wake, others := !hungry && l.epoch.Appetite() > 0, l.sleepers()
	l.mu.Unlock()
	switch f := f.(type) {
	case *link.Ack:
		l.rouse(others)
	case *link.Batch:
		if !others.bus || !l.writeNow() { // which rouses everybody
			l.rouse(others)
		}
		l.mu.Lock()
		f.Taken = l.epoch.Waiting() == 0
		l.mu.Unlock()
	default:
		l.wake()
	}
	if wake {
		signal(l.wakeRead)
	}
	if err != nil {
		l.wake()
	} else if i, ok := f.(*link.Interest); ok {
		l.listen()
		l.peering.node.takeInterest(l.peering, i)
	}
	return err
}

// A narrowKsock can stop listening to a name and keep what is queued.
type narrowKsock interface{ StopListening(name string) error }

func canNarrow(k kbusdev.Ksock) bool {
	_, can := k.(narrowKsock)
	return can
}

// listen makes our Ksock listen to what the peer has just said that it wants. A Ksock
// that can do that waits for nothing.
func (l *live) listen() {
	for {
		l.mu.Lock()
		changes := l.epoch.Listening()
		l.mu.Unlock()
		if len(changes) == 0 {
			return
		}
		for _, c := range changes {
			var err error
			if c.Bound {
				err = l.ksock.Bind(c.Name, kbusdev.Listener)
			} else {
				err = l.ksock.(narrowKsock).StopListening(c.Name)
			}
			if errors.Is(err, net.ErrClosed) { // the epoch is over
				return
			}
			l.busFailed(err)
		}
	}
}

func (l *live) takeTopology(t *link.Topology) error {
	err := link.CheckNetworks(t.Networks)
	if err == nil {
		err = l.peering.node.updateTopology(l.peering, t)
	}
	if err != nil {
		l.end(err, false)
	}
	return err
}

// MayReceive is link.Driver's.
func (l *live) MayReceive(ctx context.Context) {
	for {
		l.mu.Lock()
		ok := l.epoch.MayReceive()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.mayRead:
		case <-ctx.Done():
			return
		}
	}
}

// Waker is link.Driver's.
func (l *live) Waker() *link.Waker { return l.waker }

// Stuck is link.Driver's.
func (l *live) Stuck(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch.Stuck(now)
}
