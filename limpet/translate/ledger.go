package translate

import (
	"cmp"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A ledger holds the requests taken from our bus that still want their reply.
// requests = replies + synthetic + open holds between any two calls.
type ledger struct {
	remembered map[kbusdev.MsgID]request // id as read -> who asked
	answering  int                       // replies given to the bus, outcome not told yet
	parked     int                       // answers that found no room, each with a timer

	requests, replies, synthetic uint64
}

// A request is one that a ledger holds.
type request struct {
	from kbusdev.KsockID
	at   time.Duration // the machine's age when it was read
	name string
}

func newLedger() ledger { return ledger{remembered: make(map[kbusdev.MsgID]request)} }

func (l *ledger) open() int { return len(l.remembered) + l.answering + l.parked }

func (l *ledger) has(id kbusdev.MsgID) bool {
	_, ok := l.remembered[id]
	return ok
}

func (l *ledger) take(m *kbusdev.Message, at time.Duration) {
	l.remembered[m.ID] = request{m.From, at, m.Name}
	l.requests++
}

// settle forgets a request whose reply is on its way to the bus.
func (l *ledger) settle(id kbusdev.MsgID) (r request, ok bool) {
	if r, ok = l.remembered[id]; ok {
		delete(l.remembered, id)
		l.answering++
	}
	return r, ok
}

// done counts an answer that the bus took, or whose asker is gone.
func (l *ledger) done(own bool) {
	l.answering--
	if own {
		l.synthetic++
	} else {
		l.replies++
	}
}

// Stats are a ledger's counts: Requests = Replies + Synthetic + Open.
type Stats struct {
	// Requests were taken from our bus as replier.
	Requests uint64
	// Replies came from the peer.
	Replies uint64
	// Synthetic answers were made by this limpet.
	Synthetic uint64
	// Open are not answered yet.
	Open uint64
	// Asked are the peer's requests that our bus has not answered yet.
	Asked uint64
	// Proxies are the names bound on our bus for the peer, Wishes those that a
	// local replier holds.
	Proxies, Wishes uint64
	// Repliers are the bindings the table knows on our bus.
	Repliers uint64
}

// Stats returns the counts now.
func (m *Machine) Stats() Stats {
	return Stats{
		Requests:  m.ledger.requests,
		Replies:   m.ledger.replies,
		Synthetic: m.ledger.synthetic,
		Open:      uint64(m.ledger.open()),
		Asked:     uint64(m.asked.open()),
		Proxies:   uint64(m.binds.bound),
		Wishes:    uint64(len(m.binds.byName) - m.binds.bound - m.binds.denied),
		Repliers:  uint64(m.table.len()),
	}
}

// answerNow counts a request that gets an answer of our own at once.
func (l *ledger) answerNow() {
	l.requests++
	l.answering++
}

// answer gives a request from our bus an answer of our own.
func answer(fx []Effect, msg *kbusdev.Message, name string, why Reason) []Effect {
	return append(fx, ownAnswer(bounced(msg.ID, msg.From, name), why))
}

// Abandon answers on our bus, with a reply called name, a request that was to be
// forwarded but will not be: out is the message of its Forward effect. It appends
// nothing if out is no request to us or has its answer already.
func (m *Machine) Abandon(fx []Effect, out *kbusdev.Message, name string, why Reason) []Effect {
	if !out.WantsUsToReply() {
		return fx
	}
	id := out.ID
	if id.Network == m.us {
		id.Network = 0
	}
	r, ok := m.ledger.settle(id)
	if !ok {
		return fx
	}
	return append(fx, ownAnswer(bounced(id, r.from, name), why))
}

// End ends the epoch: every request still open is answered on our bus, with
// RemoteError.NotDelivered if neverRan says so of its id as forwarded (the far bus
// never had it), else with RemoteError.OutcomeUnknown. The order is that of the ids.
func (m *Machine) End(fx []Effect, neverRan func(kbusdev.MsgID) bool) []Effect {
	ids := slices.SortedFunc(maps.Keys(m.ledger.remembered), func(a, b kbusdev.MsgID) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Serial, b.Serial))
	})
	for _, id := range ids {
		global := id
		if global.Network == 0 {
			global.Network = m.us
		}
		name := kbusdev.NameOutcomeUnknown
		if neverRan(global) {
			name = kbusdev.NameNotDelivered
		}
		r, _ := m.ledger.settle(id)
		fx = append(fx, ownAnswer(bounced(id, r.from, name), LinkLost))
	}
	for _, t := range slices.Clone(m.timers.heap) {
		if p, ok := t.owner.(*parkedReply); ok { // the last try: nobody calls Tick any more
			m.timers.stop(t)
			fx = p.due(m, fx)
		}
	}
	return fx
}

// A parkedReply is an answer that found no room, to be sent again.
type parkedReply struct {
	timer
	reply kbusdev.Message
}

// due sends a parked answer again.
func (p *parkedReply) due(m *Machine, fx []Effect) []Effect {
	m.ledger.parked--
	m.ledger.answering++
	return append(fx, ownAnswer(p.reply, Refused))
}

// replyRefused: the asker must be answered all the same, unless it has gone.
func (m *Machine) replyRefused(fx []Effect, of Effect, errno syscall.Errno) []Effect {
	switch {
	case errno == syscall.EADDRNOTAVAIL || errno == syscall.ECONNREFUSED:
		m.ledger.done(of.Own)
		return drop(fx, AskerGone)
	case of.Own: // this was the error already: no room for it either
		m.ledger.answering--
		m.ledger.parked++
		p := &parkedReply{reply: of.Msg}
		m.timers.set(&p.timer, p, m.now.Add(m.cfg.RetryEvery))
		return fx
	}
	fx = drop(fx, Refused)
	instead := bounced(of.Msg.InReplyTo, of.Msg.To, kbusdev.NameRemoteErrorPrefix+kbusdev.ErrnoName(errno))
	instead.OrigFrom = of.Msg.OrigFrom // it tells this from a request that was refused: see kbusdev.OutcomeOf
	return append(fx, ownAnswer(instead, Refused))
}
