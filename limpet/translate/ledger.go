package translate

import (
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A ledger holds the requests taken from our bus that still want their reply.
// requests = replies + synthetic + open holds between any two calls.
type ledger struct {
	remembered map[kbusdev.MsgID]kbusdev.KsockID // id as read -> who asked
	answering  int                               // replies given to the bus, outcome not told yet
	parked     []parkedReply                     // answers that found no room

	requests, replies, synthetic uint64
}

type parkedReply struct {
	msg kbusdev.Message
	at  time.Time
}

func newLedger() ledger { return ledger{remembered: make(map[kbusdev.MsgID]kbusdev.KsockID)} }

func (l *ledger) open() int { return len(l.remembered) + l.answering + len(l.parked) }

func (l *ledger) has(id kbusdev.MsgID) bool {
	_, ok := l.remembered[id]
	return ok
}

func (l *ledger) take(id kbusdev.MsgID, from kbusdev.KsockID) {
	l.remembered[id] = from
	l.requests++
}

// settle forgets a request whose reply is on its way to the bus.
func (l *ledger) settle(id kbusdev.MsgID) (from kbusdev.KsockID, ok bool) {
	if from, ok = l.remembered[id]; ok {
		delete(l.remembered, id)
		l.answering++
	}
	return from, ok
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

// Stats gives the counts now.
func (m *Machine) Stats() Stats {
	bound := 0
	for _, p := range m.binds.byName {
		if p.bound {
			bound++
		}
	}
	return Stats{
		Requests:  m.ledger.requests,
		Replies:   m.ledger.replies,
		Synthetic: m.ledger.synthetic,
		Open:      uint64(m.ledger.open()),
		Asked:     uint64(m.asked.open()),
		Proxies:   uint64(bound),
		Wishes:    uint64(len(m.binds.byName) - bound),
		Repliers:  uint64(len(m.table.exact) + len(m.table.level) + len(m.table.below)),
	}
}

// answer gives a request from our bus an answer of our own.
func (m *Machine) answer(msg *kbusdev.Message, name string) {
	m.ledger.requests++
	m.ledger.answering++
	m.fx = append(m.fx, Effect{Kind: Send, Own: true, Reason: AnsweredHere, Msg: bounced(msg.ID, msg.From, name)})
}

// Abandon answers on our bus a request that was to be forwarded but will not be,
// because the peer takes nothing: out is the Forward effect's message.
func (m *Machine) Abandon(out *kbusdev.Message) []Effect {
	m.begin()
	id := out.ID
	if id.Network == m.us {
		id.Network = 0
	}
	if asker, ok := m.ledger.settle(id); ok {
		m.fx = append(m.fx, Effect{Kind: Send, Own: true, Reason: Stalled,
			Msg: bounced(id, asker, kbusdev.NameRemoteErrorPrefix+"EBUSY")})
	}
	return m.fx
}

// End ends the epoch: every request still open is answered on our bus, with
// RemoteError.NotDelivered if neverLeft says so of its id as forwarded (it never
// reached the far bus), else with RemoteError.OutcomeUnknown.
func (m *Machine) End(neverLeft func(kbusdev.MsgID) bool) []Effect {
	m.begin()
	for id, from := range m.ledger.remembered {
		global := id
		if global.Network == 0 {
			global.Network = m.us
		}
		name := kbusdev.NameRemoteErrorPrefix + "OutcomeUnknown"
		if neverLeft(global) {
			name = kbusdev.NameRemoteErrorPrefix + "NotDelivered"
		}
		m.ledger.answering++
		m.fx = append(m.fx, Effect{Kind: Send, Own: true, Reason: LinkLost, Msg: bounced(id, from, name)})
	}
	clear(m.ledger.remembered)
	return m.fx
}

// replyRefused: the asker must be answered all the same, unless it has gone.
func (m *Machine) replyRefused(msg *kbusdev.Message, own bool, errno syscall.Errno) {
	switch errno {
	case syscall.EADDRNOTAVAIL, syscall.ECONNREFUSED:
		m.ledger.done(own)
		m.drop(AskerGone)
	default:
		if own { // this was the error already: no room for it either
			m.ledger.answering--
			m.ledger.parked = append(m.ledger.parked, parkedReply{msg: *msg, at: m.now.Add(m.cfg.RetryEvery)})
			m.deadline(m.now.Add(m.cfg.RetryEvery))
			return
		}
		m.drop(Refused)
		m.fx = append(m.fx, Effect{Kind: Send, Own: true, Reason: Refused,
			Msg: bounced(msg.InReplyTo, msg.To, kbusdev.NameRemoteErrorPrefix+kbusdev.ErrnoName(errno))})
	}
}

// tickReplies tries parked answers again.
func (m *Machine) tickReplies() {
	kept := m.ledger.parked[:0]
	for _, p := range m.ledger.parked {
		if p.at.After(m.now) {
			kept = append(kept, p)
			m.deadline(p.at)
			continue
		}
		m.ledger.answering++
		m.fx = append(m.fx, Effect{Kind: Send, Own: true, Reason: Refused, Msg: p.msg})
	}
	m.ledger.parked = kept
}
