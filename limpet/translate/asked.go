package translate

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// asked are the requests that we sent on our bus for the peer and that wait for
// their replies.
type asked struct {
	byID  map[kbusdev.MsgID]sent
	watch watch

	// Ids answered in the replier's place: a later answer is dropped. The oldest is
	// forgotten when there are more than most.
	gaveUp     map[kbusdev.MsgID]struct{}
	gaveUpRing []kbusdev.MsgID
	gaveUpAt   int
	most       int
}

// A sent is a request that was sent on our bus.
type sent struct {
	watched *question     // nil if it is not
	at      time.Duration // the machine's age when it was sent
	name    string
}

func newAsked(most int) asked {
	return asked{
		byID:   make(map[kbusdev.MsgID]sent),
		watch:  newWatch(),
		gaveUp: make(map[kbusdev.MsgID]struct{}),
		most:   most,
	}
}

func (a *asked) open() int { return len(a.byID) }

// ask notes a request that is about to be sent on our bus.
func (m *Machine) ask(msg *kbusdev.Message) {
	if q := m.asked.byID[msg.ID].watched; q != nil {
		m.unwatch(q) // the same id again: its replies cannot be told apart anyway
	}
	var q *question
	if m.cfg.LosesUnread && msg.To != 0 {
		q = m.asked.watch.add(msg)
	}
	m.asked.byID[msg.ID] = sent{q, m.age(), msg.Name}
}

// answered forgets a request, and reports whether it had been given up before.
func (m *Machine) answered(id kbusdev.MsgID) (late bool) {
	a := &m.asked
	if s, ok := a.byID[id]; ok {
		delete(a.byID, id)
		if s.watched != nil {
			m.unwatch(s.watched)
		}
		return false
	}
	if len(a.gaveUp) > 0 {
		_, late = a.gaveUp[id]
		delete(a.gaveUp, id)
	}
	return late
}

// giveUp answers the peer in the place of a replier that stays silent.
func (m *Machine) giveUp(fx []Effect, q *question, name string) []Effect {
	a := &m.asked
	fx = append(fx, Effect{Kind: Bounce, Reason: AnsweredHere, Msg: bounced(q.id, q.from, name)})
	if len(a.gaveUpRing) < a.most {
		a.gaveUpRing = append(a.gaveUpRing, q.id)
	} else {
		delete(a.gaveUp, a.gaveUpRing[a.gaveUpAt])
		a.gaveUpRing[a.gaveUpAt] = q.id
		a.gaveUpAt = (a.gaveUpAt + 1) % a.most
	}
	a.gaveUp[q.id] = struct{}{}
	delete(a.byID, q.id)
	m.unwatch(q)
	return fx
}
