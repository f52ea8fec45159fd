package translate

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// asked are the requests that we sent on our bus for the peer and that wait for
// their replies. The real module loses a stateful one whose replier goes away
// unread, so those are watched.
type asked struct {
	byID    map[kbusdev.MsgID]question
	leaving int // how many have a deadline

	// Ids answered GoneAway in the replier's place: a later answer is dropped. The
	// oldest is forgotten when there are too many.
	gaveUp     map[kbusdev.MsgID]struct{}
	gaveUpRing []kbusdev.MsgID
	gaveUpAt   int
}

type question struct {
	from     kbusdev.KsockID // as the peer sent it
	replier  kbusdev.KsockID // of a stateful request, else 0
	name     string
	deadline time.Time // when the replier has gone
}

const maxGaveUp = 4096

func newAsked() asked {
	return asked{byID: make(map[kbusdev.MsgID]question), gaveUp: make(map[kbusdev.MsgID]struct{})}
}

func (a *asked) open() int { return len(a.byID) }

func (a *asked) add(msg *kbusdev.Message) {
	a.byID[msg.ID] = question{from: msg.From, replier: msg.To, name: msg.Name}
}

// answered forgets a request, and tells whether it had been given up before.
func (a *asked) answered(id kbusdev.MsgID) (late bool) {
	if q, ok := a.byID[id]; ok {
		delete(a.byID, id)
		if !q.deadline.IsZero() {
			a.leaving--
		}
		return false
	}
	if len(a.gaveUp) > 0 {
		_, late = a.gaveUp[id]
		delete(a.gaveUp, id)
	}
	return late
}

func (a *asked) giveUp(id kbusdev.MsgID) {
	delete(a.byID, id)
	a.leaving--
	if len(a.gaveUpRing) < maxGaveUp {
		a.gaveUpRing = append(a.gaveUpRing, id)
	} else {
		delete(a.gaveUp, a.gaveUpRing[a.gaveUpAt])
		a.gaveUpRing[a.gaveUpAt] = id
		a.gaveUpAt = (a.gaveUpAt + 1) % maxGaveUp
	}
	a.gaveUp[id] = struct{}{}
}

// replierLeft starts the grace of the stateful requests that an unbind leaves
// without their replier.
func (m *Machine) replierLeft(e kbusdev.BindEvent) {
	for id, q := range m.asked.byID {
		if q.replier == e.Binder && q.deadline.IsZero() && kbusdev.Matches(e.Name, q.name) {
			q.deadline = m.now.Add(m.cfg.Grace)
			m.asked.byID[id] = q
			m.asked.leaving++
			m.deadline(q.deadline)
		}
	}
}

// tickAsked answers the peer for repliers that have gone and stay silent.
func (m *Machine) tickAsked() {
	if m.asked.leaving == 0 {
		return
	}
	for id, q := range m.asked.byID {
		switch {
		case q.deadline.IsZero():
		case q.deadline.After(m.now):
			m.deadline(q.deadline)
		default:
			m.asked.giveUp(id)
			m.fx = append(m.fx, Effect{Kind: Bounce, Reason: AnsweredHere, Msg: bounced(id, q.from, kbusdev.NameReplierGoneAway)})
		}
	}
}
