package limpet

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/table"
	"github.com/kbus-limpet/limpet/limpet/trace"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// An Epoch is everything that a limpet decides, from the greeting between two
// instances until one of them is gone: the rules, the ledger, the session, and what
// waits between them. It is pure: no goroutine, lock, clock or I/O. Events go in, with
// the time; what is to be done on the bus comes out of Dos, and what is to be sent out
// of NextFrame. It is not safe for concurrent use.
type Epoch struct {
	cfg     EpochConfig
	rules   *translate.Machine
	session *link.Session
	counts  *Totals

	origin  origin
	toTell  *table.Pending // bind events that the peer is still to be told
	wants   interest       // what the peer wants to hear
	todo    []Do           // for the bus
	doing   int            // Dos that are being carried out
	held    held           // what waits for room on our bus
	bindsAt time.Time      // until then nothing more of the peer's is taken, see bindRate
	fx      []translate.Effect
	now     time.Time // of the event that is being processed
	inspect func(where string, m *kbusdev.Message, fx *translate.Effect)
	tracer  *trace.Tracer // nil traces nothing
	rec     *recorder     // nil if nothing is recorded, and while an event is
	note    *recorder     // likewise the other way round

	overflow   []link.Outgoing // read from the bus, no room in the window
	overflowed int             // the bytes of that
	overflowAt time.Time       // since when nothing has found room, while attached
	readOn     bool            // detached for so long that requests are looked for behind a full window
	stalled    bool
	snapshot   bool // the reader is to ask the bus for a snapshot
	full       bool // our queue on the bus was full

	met          bool      // there has been a stream
	detachedAt   time.Time // zero while attached
	holdAt       time.Time // when held requests are looked at next
	expireAt     time.Time // when those with deadlines are
	noProgress   time.Time // since when the peer has taken nothing
	ackedThen    uint64
	retelling    retelling
	digestAt     time.Time // when the peer is told the digest of our table
	topologyOwed bool      // the peer may have to be told what lies behind us
	topologyAt   time.Time // when it may be told again
	draining     bool
	peerDraining bool
	saidDone     bool // the peer knows that its drain need not wait for us
	peerDone     bool // our drain need not wait for the peer
	controls     controls
	said         []link.Frame // questions and answers for the peer, see Say

	why      error // why the epoch ended; nil while it lives
	endedAt  time.Time
	answered bool // after the end: the open requests have been answered
	cutOff   int  // after the end: how many those were
	carry    bool // after the end: what the peer's next instance gets
	carried  []link.Outgoing
	carrying int // the bytes of that

	restarted map[uint32]uint64 // networks with another daemon than before, and what had been sent then
}

// EpochConfig is what an epoch is made with.
type EpochConfig struct {
	// Config has no zero values.
	Config
	// NetworkID is ours, PeerNetworkID the peer's.
	NetworkID, PeerNetworkID uint32
	// Ksock is our own Ksock on the bus.
	Ksock kbusdev.KsockID
	// Session is that of the greetings.
	Session link.SessionConfig
	// LosesUnread reports that the bus loses a stateful request whose replier goes away
	// unread, as the kernel module does.
	LosesUnread bool
	// IDs is the bus's memory of the ids brought to it, shared by all its limpets.
	IDs IDs
	// Rules are what the peer may do; nil is everything.
	Rules *rules.Policy
	// Origins tell which networks' messages cannot come over this link; nil is none.
	Origins Origins
	// Names, unless nil, bounds the names of all peers together.
	Names translate.Names
	// Interest reports that the peer tells what it wants to hear.
	Interest bool
	// Narrows reports that our Ksock can stop listening to a name and keep what is queued.
	// Then Listening has something to do when the peer has told what it wants.
	Narrows bool
	// DigestEvery is how often the peer is told the digest of our table; 0 is a minute.
	DigestEvery time.Duration
	// DrainDone reports that the peer says when our drain need not wait for it any more.
	DrainDone bool
	// Totals are counted on; they belong to the peering.
	Totals *Totals
	// Replied and AskedReplied are as in translate.Config; nil is told of nothing.
	Replied, AskedReplied func(name string, took time.Duration)
	// Tracing is how requests are traced; without To they are not. NewEpoch sets what is
	// known here already.
	Tracing trace.Config
	// Record, unless nil, is where what the epoch is told and decides is recorded, from its
	// first event on.
	Record *Recording
	// Inspect, unless nil, is shown each message as it is processed and what becomes of
	// it. It must not keep or change either.
	Inspect func(where string, m *kbusdev.Message, fx *translate.Effect)
}

// IDs is the memory of the ids that were lately brought to a bus; package recent has
// it.
type IDs interface {
	// Claim reports whether id was brought before, and notes that it is now.
	Claim(id kbusdev.MsgID, now time.Time) bool
	// Read notes a message with a foreign id that was read from the bus.
	Read(id kbusdev.MsgID, from kbusdev.KsockID, now time.Time)
}

// NewEpoch returns an epoch that is detached at now, and wants a snapshot.
func NewEpoch(cfg EpochConfig, now time.Time) *Epoch {
	setDefault(&cfg.MaxNames, defaultMaxNames)
	setDefault(&cfg.DigestEvery, digestEvery)
	rec := newRecorder(cfg.Record)
	cfg = rec.noted(cfg)
	e := &Epoch{
		cfg: cfg,
		rec: rec,
		rules: translate.New(translate.Config{
			NetworkID:     cfg.NetworkID,
			PeerNetworkID: cfg.PeerNetworkID,
			Ksock:         cfg.Ksock,
			Pattern:       cfg.Pattern,
			Rights:        rightsOf(cfg.Rules),
			Renames:       cfg.Renames,
			Classic:       cfg.Session.NoAcks,
			Termination:   cfg.Termination,
			MaxAsked:      int(cfg.MaxMessages / 2),
			MaxOpen:       int(cfg.MaxMessages / 2),
			MaxProxies:    cfg.MaxNames,
			Names:         cfg.Names,
			Took:          &cfg.Totals.Took,
			AskedTook:     &cfg.Totals.AskedTook,
			Replied:       cfg.Replied,
			AskedReplied:  cfg.AskedReplied,
			LosesUnread:   cfg.LosesUnread,
		}),
		session:    link.NewSession(cfg.Session),
		counts:     cfg.Totals,
		toTell:     table.NewPending(),
		wants:      newInterest(cfg),
		inspect:    cfg.Inspect,
		snapshot:   true,
		detachedAt: now,
	}
	if t := cfg.Tracing; t.To != nil {
		t.Network, t.Peer, t.MaxOpen = cfg.NetworkID, cfg.PeerNetworkID, int(cfg.MaxMessages)
		e.tracer = trace.New(t)
	}
	return e
}

// Session returns the session's name, and the sequence number that we expect next.
func (e *Epoch) Session() (link.SessionID, uint64) { return e.session.ID(), e.session.Expected() }

// Why returns why the epoch has ended, nil while it lives.
func (e *Epoch) Why() error { return e.why }

// Attach starts a stream on which the peer expects the number peerExpected next. The
// error is an *link.Error; the epoch has not changed then.
func (e *Epoch) Attach(now time.Time, peerExpected uint64) error {
	if r := e.rec; r != nil {
		return r.attach(e, now, peerExpected)
	}
	if err := e.session.Attach(now, peerExpected); err != nil {
		return err
	}
	e.met, e.readOn = true, false
	e.detachedAt, e.holdAt, e.overflowAt = time.Time{}, time.Time{}, time.Time{}
	if len(e.overflow) > 0 {
		e.overflowAt = now
	}
	return nil
}

// Detach notes that the stream has ended, for whatever reason. An epoch that cannot
// be resumed ends.
func (e *Epoch) Detach(now time.Time, why error) {
	if r := e.rec; r != nil {
		r.detach(e, now, why)
		return
	}
	if !e.session.Attached() {
		return
	}
	e.session.Detach()
	e.stalled, e.said = false, nil
	e.detachedAt, e.holdAt = now, now.Add(e.cfg.RequestHold)
	e.wants.lost()
	switch {
	case e.why != nil:
	case e.peerDraining, e.cfg.Grace == 0, e.cfg.Session.NoAcks:
		e.End(now, why, false)
	}
}

// End ends the epoch. The peer is told of an *link.Error of our own, if there is a
// stream. carry: the peer's next instance is to get the announcements that this one
// has not acknowledged; see Carried. Dos then has what is left to do on the bus.
func (e *Epoch) End(now time.Time, why error, carry bool) {
	if r := e.rec; r != nil {
		r.end(e, now, why, carry)
		return
	}
	if e.why != nil {
		return
	}
	e.why, e.carry, e.endedAt = why, carry, now
	e.session.End(ours(why))
	e.held.giveUp()
}

// Over reports that nothing more is to be done on the bus: the Ksock can be closed,
// which answers what is left in its queue.
func (e *Epoch) Over() bool { return e.why != nil && e.answered && e.doing == 0 && len(e.todo) == 0 }

// Carried returns the announcements for the peer's next epoch, once Over; they are
// given to Adopt.
func (e *Epoch) Carried() []link.Outgoing { return e.carried }

// Adopt queues what the peering's last epoch could not deliver.
func (e *Epoch) Adopt(now time.Time, carried []link.Outgoing) {
	if r := e.rec; r != nil {
		r.adopt(e, now, carried)
		return
	}
	for i := range carried {
		e.session.Put(now, link.Normal, &carried[i])
	}
}

// Drain tells the peer why we are about to end the epoch, and unbinds what is bound
// for it, so that nobody asks it any more.
func (e *Epoch) Drain(reason string) {
	if r := e.rec; r != nil {
		r.drain(e, reason)
		return
	}
	if e.draining || e.why != nil {
		return
	}
	e.draining = true
	e.session.SetDrain(reason)
	e.apply(e.rules.Drain(e.fx[:0]))
}

// Drained reports whether the peer is draining.
func (e *Epoch) Drained() bool { return e.peerDraining }

// done reports, once, that the peer is to be told that its drain need not wait for us:
// nothing is bound for it, and none of our requests is open.
func (e *Epoch) done() bool {
	if !e.peerDraining || e.saidDone || !e.rules.Drained() || e.rules.Stats().Open > 0 {
		return false
	}
	e.saidDone = true
	return true
}

// Quiet reports whether nothing is open or in flight at either side, so that the epoch
// can end without a loss; queued is how many messages wait in our Ksock.
func (e *Epoch) Quiet(queued int) bool {
	c := e.Counts()
	return (e.peerDone || !e.cfg.DrainDone) && c.Open == 0 && c.Asked == 0 && c.Busy == 0 && queued == 0 && len(e.overflow) == 0 && e.toTell.Len() == 0
}

// lastFrameWithin is how long the last frame may take to get out.
const lastFrameWithin = time.Second

// Stuck reports whether the peer lives but takes nothing: its stream is to be ended.
func (e *Epoch) Stuck(now time.Time) bool {
	if r := e.rec; r != nil {
		return r.stuck(e, now)
	}
	if e.why != nil { // it may be a stream's flow control that keeps the last frame
		return now.Sub(e.endedAt) >= lastFrameWithin
	}
	since := e.session.StuckSince()
	if since.IsZero() || now.Sub(since) < link.StuckAfter {
		return false
	}
	if e.noProgress.IsZero() {
		e.noProgress = since
		e.ackedThen = e.session.Acknowledged()
	}
	return true
}

// Tick makes what has become due happen.
func (e *Epoch) Tick(now time.Time) {
	if r := e.rec; r != nil {
		r.tick(e, now)
		return
	}
	e.now = now
	e.apply(e.rules.Tick(e.fx[:0], now))
	if e.why != nil {
		return
	}
	if !e.expireAt.IsZero() && !now.Before(e.expireAt) {
		e.releaseExpired(now)
	}
	switch {
	case !e.detachedAt.IsZero():
		e.tickDetached(now)
	case !e.overflowAt.IsZero() && !now.Before(e.overflowAt.Add(e.cfg.StallTimeout)):
		e.stalled = true
		e.flow(now)
	}
	if !e.noProgress.IsZero() {
		switch {
		case e.session.Acknowledged() > e.ackedThen:
			e.noProgress = time.Time{}
		case now.Sub(e.noProgress) >= e.cfg.Grace:
			e.End(now, link.Errorf(link.Stalled, "the peer has taken nothing for %v", now.Sub(e.noProgress).Round(time.Second)), false)
		}
	}
}

// firstStream is how long a new epoch waits for its first stream, at least: whatever the
// grace is, the greeting is still being answered.
const firstStream = 10 * time.Second

// detachedUntil returns when the epoch ends unless a stream comes.
func (e *Epoch) detachedUntil() time.Time {
	grace := e.cfg.Grace
	if !e.met {
		grace = max(grace, firstStream)
	}
	return e.detachedAt.Add(grace)
}

func (e *Epoch) tickDetached(now time.Time) {
	if e.peerDraining || !now.Before(e.detachedUntil()) {
		e.End(now, link.Errorf(link.Expired, "the peer did not come back within %v", e.cfg.Grace), false)
		return
	}
	if !e.holdAt.IsZero() && !now.Before(e.holdAt) {
		e.readOn = true
		e.releaseHeld(now)
	}
}

// holdStep is how often held requests are looked at, so that many of them cost no more
// than a few.
const holdStep = 100 * time.Millisecond

// releaseHeld answers the requests that no stream has taken for too long.
func (e *Epoch) releaseHeld(now time.Time) {
	e.withdraw(now, func(out *link.Outgoing, at time.Time) bool {
		if !out.Msg.WantsUsToReply() || now.Sub(at) < e.cfg.RequestHold {
			return false
		}
		e.abandon(&out.Msg, kbusdev.NameNotDelivered, translate.LinkDown)
		return true
	})
	e.holdAt = now.Add(holdStep)
}

// releaseExpired answers the requests that no stream has taken before their deadline.
func (e *Epoch) releaseExpired(now time.Time) {
	e.expireAt = time.Time{}
	e.withdraw(now, func(out *link.Outgoing, _ time.Time) bool {
		if !out.Msg.WantsUsToReply() || !out.Msg.Expired(now) {
			e.noteDeadline(&out.Msg)
			return false
		}
		e.abandon(&out.Msg, kbusdev.NameExpired, translate.Expired)
		return true
	})
	if soon := now.Add(holdStep); !e.expireAt.IsZero() && e.expireAt.Before(soon) {
		e.expireAt = soon
	}
}

// noteDeadline has Tick look when the deadline of a request that waits is over.
func (e *Epoch) noteDeadline(m *kbusdev.Message) {
	if m.Expires.IsZero() || !m.WantsUsToReply() || !e.expireAt.IsZero() && e.expireAt.Before(m.Expires) {
		return
	}
	e.expireAt = m.Expires
}

// withdraw takes out what was never given to a stream and done reports; at is since
// when it has waited.
func (e *Epoch) withdraw(now time.Time, done func(out *link.Outgoing, at time.Time) bool) {
	e.session.Withdraw(done)
	kept := e.overflow[:0]
	for i := range e.overflow {
		if done(&e.overflow[i], e.detachedAt) {
			e.overflowed -= e.overflow[i].Msg.Size()
		} else {
			kept = append(kept, e.overflow[i])
		}
	}
	clear(e.overflow[len(kept):])
	e.overflow = kept
	e.flow(now)
}

// abandon answers a request of our bus that does not go to the peer.
func (e *Epoch) abandon(out *kbusdev.Message, name string, why translate.Reason) {
	e.counts.fromBus(why, out)
	e.apply(e.rules.Abandon(nil, out, name, why))
}

// Busy reports whether Dos may have something now.
func (e *Epoch) Busy() bool { return len(e.todo) > 0 || e.session.Waiting() > 0 || e.why != nil }

// NextTime returns when Tick must be called at the latest; zero is not before
// something else has happened.
func (e *Epoch) NextTime() time.Time {
	next := e.rules.Next()
	soonest := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if e.why != nil {
		return next
	}
	soonest(e.held.next())
	if e.session.Waiting() > 0 {
		soonest(e.bindsAt)
	}
	soonest(e.expireAt)
	if !e.detachedAt.IsZero() {
		soonest(e.detachedUntil())
		soonest(e.holdAt)
	} else if !e.overflowAt.IsZero() && !e.stalled {
		soonest(e.overflowAt.Add(e.cfg.StallTimeout))
	}
	if !e.noProgress.IsZero() {
		soonest(e.noProgress.Add(e.cfg.Grace))
	}
	return next
}

// ours returns why as the last frame for the peer, nil if it is the peer's own word
// or nothing for it.
func ours(why error) *link.Error {
	if e, ok := why.(*link.Error); ok && !e.Remote { //nolint:errorlint // a wrapped one has been said already
		return e
	}
	return nil
}
