package limpet

import (
	"context"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
)

// A claim is one stream's turn to be attached to an epoch.
type claim struct {
	cancel context.CancelCauseFunc
	gone   chan struct{}
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
		l.peering.attached(l, stream)
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
