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

	listening sync.Mutex // of who makes the Ksock listen; no other lock is taken under it but mu

	writing sync.Mutex // of who gives the bus what the epoch has for it
	written bool       // nobody does any more; guarded by writing
	dos     []Do       // guarded by writing

	waker    *link.Waker                        // there may be something for the stream
	wakeBus  chan struct{}                      // there may be something to be done on the bus
	wakeRead chan struct{}                      // the window may have room
	stopWait atomic.Pointer[context.CancelFunc] // of the reader
	mayRead  chan struct{}                      // the next frame may be read
	finished chan struct{}                      // the epoch is over, and the Ksock closed

	followed bool          // guarded by mu: another epoch follows at once
	next     kbusdev.Ksock // for that one, once this one is finished; nil if there is none
	heardNow atomic.Pointer[func() uint64]

	claimMu sync.Mutex
	holder  *claim // the stream that is attached, or about to be
	waiters int
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
		Rules:       p.policy,
		Origins:     n.originsFor(p),
		Names:       &n.names,
		Interest:    hasFeature(peer, featureInterest),
		Narrows:     canNarrow(k),
		DrainDone:   hasFeature(peer, featureDrain),
		Totals:      &p.totals,
		Tracing:     n.tracing,
	}
	n.noteReplies(p, k, &ec)
	if cfg.Trace {
		ec.Inspect = l.trace
	}
	if n.record != nil {
		ec.Record = n.record(p.name)
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
		light: l.epoch.Light(),
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
