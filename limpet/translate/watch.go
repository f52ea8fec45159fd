package translate

import (
	"strings"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A watch looks after the stateful requests we sent to repliers of our bus. The
// kernel module loses one, without any answer, whose replier unbinds or closes
// before it has read it. Other buses lose nothing, and nothing is watched there.
//
// What happened can only be guessed from the replier's bind events:
//   - Its last name is unbound: it has closed or is about to. A request it had read
//     is then answered by the bus, so one without an answer after Config.Grace was
//     never read: GoneAway.
//   - A name the request matches is unbound and others stay: it lives, and may have
//     read the request. After Config.UnbindGrace the answer is OutcomeUnknown.
//   - It binds again after its last name was unbound: it lives, and only the second
//     case remains, counted from the first unbind; so nothing a replier does can put
//     the answer off for ever.
type watch struct {
	byReplier map[kbusdev.KsockID]*respondent
	turn      uint64 // counts unbinds, to tell which requests are older

	// Used again, so that a request costs no allocation.
	spareQuestions   []*question
	spareRespondents []*respondent
}

// A respondent is a replier with requests under watch. They are looked through once
// per Config.Grace or per maxUnbound names that it unbinds, not for each name.
type respondent struct {
	timer       // the next look
	id          kbusdev.KsockID
	first, last *question

	unbound map[place]uint64 // names unbound since the latest look -> the turn
	since   time.Time        // when the first of them was
	gone    time.Time        // when its last name was unbound; zero while it has one
}

// A question is one request under watch.
type question struct {
	timer      // runs once a name it matches has been unbound
	id         kbusdev.MsgID
	from       kbusdev.KsockID // as the peer sent it
	name       string
	turn       uint64 // unbinds after this one concern it
	replier    *respondent
	prev, next *question
}

const maxUnbound = 4096

func newWatch() watch { return watch{byReplier: make(map[kbusdev.KsockID]*respondent)} }

func (w *watch) add(msg *kbusdev.Message) *question {
	r := w.byReplier[msg.To]
	if r == nil {
		if r = reuse(&w.spareRespondents); r == nil {
			r = &respondent{unbound: make(map[place]uint64)}
		}
		r.id = msg.To
		w.byReplier[r.id] = r
	}
	q := reuse(&w.spareQuestions)
	if q == nil {
		q = &question{}
	}
	*q = question{id: msg.ID, from: msg.From, name: msg.Name, turn: w.turn, replier: r, prev: r.last}
	if r.last == nil {
		r.first = q
	} else {
		r.last.next = q
	}
	r.last = q
	return q
}

func reuse[T any](spare *[]*T) *T {
	last := len(*spare) - 1
	if last < 0 {
		return nil
	}
	v := (*spare)[last]
	*spare = (*spare)[:last]
	return v
}

// unwatch forgets a question that has its answer, and the respondent with its last question.
func (m *Machine) unwatch(q *question) {
	w, r := &m.asked.watch, q.replier
	m.timers.stop(&q.timer)
	if q.prev == nil {
		r.first = q.next
	} else {
		q.prev.next = q.next
	}
	if q.next == nil {
		r.last = q.prev
	} else {
		q.next.prev = q.prev
	}
	*q = question{}
	w.spareQuestions = append(w.spareQuestions, q)
	if r.first == nil {
		m.timers.stop(&r.timer)
		delete(w.byReplier, r.id)
		r.forget()
		*r = respondent{unbound: r.unbound}
		w.spareRespondents = append(w.spareRespondents, r)
	}
}

// forget empties what was noted for the next look.
func (r *respondent) forget() {
	if len(r.unbound) > 64 {
		r.unbound = make(map[place]uint64) // a cleared map keeps its memory
	}
	clear(r.unbound)
}

// replierUnbound notes that a Ksock has unbound a name.
func (m *Machine) replierUnbound(name string, k kbusdev.KsockID) {
	r := m.asked.watch.byReplier[k]
	if r == nil {
		return
	}
	if r.gone.IsZero() && !m.table.bindsAny(k) {
		r.gone = m.now
	}
	if len(r.unbound) == 0 {
		r.since = m.now
	}
	m.asked.watch.turn++
	r.unbound[placeOf(name)] = m.asked.watch.turn
	if len(r.unbound) >= maxUnbound {
		m.look(r)
	}
	if r.slot == 0 {
		m.timers.set(&r.timer, r, m.now.Add(m.cfg.Grace))
	}
}

// replierBound notes that a Ksock has bound a name, so it lives.
func (m *Machine) replierBound(k kbusdev.KsockID) {
	if r := m.asked.watch.byReplier[k]; r != nil {
		r.gone = time.Time{}
	}
}

// due looks through the questions of a replier that has unbound names.
func (r *respondent) due(m *Machine, fx []Effect) []Effect {
	gone := !r.gone.IsZero()
	end := r.gone.Add(m.cfg.Grace)
	if gone && !m.now.Before(end) {
		for q := r.first; q != nil; {
			next := q.next
			fx = m.giveUp(fx, q, kbusdev.NameReplierGoneAway)
			q = next
		}
		return fx
	}
	m.look(r)
	if gone {
		m.timers.set(&r.timer, r, end)
	}
	return fx
}

// look starts the timers of the questions that may be lost with what was unbound.
func (m *Machine) look(r *respondent) {
	for q := r.first; q != nil; q = q.next {
		if q.slot == 0 && r.mayHaveLost(q) {
			m.timers.set(&q.timer, q, r.since.Add(m.cfg.UnbindGrace))
		}
	}
	r.forget()
}

// due gives up a question whose replier lives but stays silent.
func (q *question) due(m *Machine, fx []Effect) []Effect {
	return m.giveUp(fx, q, kbusdev.NameOutcomeUnknown)
}

// mayHaveLost reports whether a name that matches the question was unbound after it was asked.
func (r *respondent) mayHaveLost(q *question) bool {
	if r.unbound[place{stem: q.name}] > q.turn {
		return true
	}
	dot := strings.LastIndexByte(q.name, '.')
	if dot > 0 && r.unbound[place{level, q.name[:dot]}] > q.turn {
		return true
	}
	for ; dot > 0; dot = strings.LastIndexByte(q.name[:dot], '.') {
		if r.unbound[place{below, q.name[:dot]}] > q.turn {
			return true
		}
	}
	return false
}

// A place is a binding name taken apart: its kind, and the whole name or what
// stands before ".%" or ".*".
type place struct {
	kind byte
	stem string
}

// The kinds of binding names; 0 is exact.
const (
	level byte = '%'
	below byte = '*'
)

func placeOf(name string) place {
	if kbusdev.IsWildcard(name) {
		return place{name[len(name)-1], name[:len(name)-2]}
	}
	return place{stem: name}
}
