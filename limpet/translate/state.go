package translate

import (
	"cmp"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/tape"
)

// Tape takes the state of the machine, or sets that of a new one of the same configuration.
func (m *Machine) Tape(t *tape.Tape) {
	t.Time(&m.now)
	t.Time(&m.born)
	m.table.tape(t)
	m.snapshot.tape(t)
	m.ledger.tape(t)
	m.asked.tape(t)
	m.outward.covering.tape(t)
	m.inward.covering.tape(t)
	m.there.tape(t)
	m.here.tape(t)
	m.told.tape(t)
	m.heard.tape(t)
	m.binds.tape(t)
	m.tapeTimers(t)
}

func byID(a, b kbusdev.MsgID) int {
	return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Serial, b.Serial))
}

func (r *repliers) tape(t *tape.Tape) {
	for _, names := range []*map[string]bound{&r.exact, &r.level, &r.below} {
		tape.Named(t, names, func(b *bound) {
			t.Ksock(&b.binder)
			t.Int64(&b.seq)
			t.Uint32(&b.seen)
			if t.Reading() {
				r.names[b.binder]++
			}
		})
	}
	t.Int64(&r.newest)
	t.Int64(&r.oldest)
}

func (s *snapshot) tape(t *tape.Tape) {
	t.Count(&s.left)
	t.Bool(&s.cut)
	t.Uint32(&s.mark)
	t.Uint32(&s.lastSerial)
}

func (l *ledger) tape(t *tape.Tape) {
	tape.Map(t, &l.remembered, byID, func(id *kbusdev.MsgID, r *request) {
		t.MsgID(id)
		t.Ksock(&r.from)
		t.Duration(&r.at)
		t.Name(&r.name)
	})
	t.Count(&l.answering)
	t.Count(&l.parked)
	t.Uint64(&l.requests)
	t.Uint64(&l.replies)
	t.Uint64(&l.synthetic)
}

// tape takes the requests. Those under watch come behind the others, as they stand with
// their repliers.
func (a *asked) tape(t *tape.Tape) {
	tape.Map(t, &a.byID, byID, func(id *kbusdev.MsgID, s *sent) {
		t.MsgID(id)
		t.Duration(&s.at)
		t.Name(&s.name)
	})
	tape.Slice(t, &a.gaveUpRing, t.MsgID)
	t.Count(&a.gaveUpAt)
	tape.Map(t, &a.gaveUp, byID, func(id *kbusdev.MsgID, _ *struct{}) { t.MsgID(id) })
	t.Uint64(&a.watch.turn)
	tape.Map(t, &a.watch.byReplier, cmp.Compare[kbusdev.KsockID], func(id *kbusdev.KsockID, r **respondent) {
		t.Ksock(id)
		if t.Reading() {
			*r = &respondent{id: *id}
		}
		(*r).tape(t, a)
	})
	if t.Reading() && t.Err() == nil && (len(a.gaveUpRing) > a.most || a.gaveUpAt > 0 && a.gaveUpAt >= len(a.gaveUpRing)) {
		t.Fail("%d requests have been given up, of at most %d, the next at %d", len(a.gaveUpRing), a.most, a.gaveUpAt)
	}
}

func (r *respondent) tape(t *tape.Tape, a *asked) {
	var all []*question
	for q := r.first; q != nil; q = q.next {
		all = append(all, q)
	}
	tape.Slice(t, &all, func(q **question) {
		if t.Reading() {
			*q = &question{replier: r, prev: r.last}
		}
		t.MsgID(&(*q).id)
		t.Ksock(&(*q).from)
		t.Name(&(*q).name)
		t.Uint64(&(*q).turn)
		if !t.Reading() || t.Err() != nil {
			return
		}
		s, ok := a.byID[(*q).id]
		if !ok || s.watched != nil {
			t.Fail("request %v is watched, but not open", (*q).id)
			return
		}
		s.watched = *q
		a.byID[(*q).id] = s
		if r.last == nil {
			r.first = *q
		} else {
			r.last.next = *q
		}
		r.last = *q
	})
	tape.Map(t, &r.unbound, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.stem, b.stem))
	}, func(p *place, turn *uint64) {
		t.Uint8(&p.kind, 255)
		t.Name(&p.stem)
		t.Uint64(turn)
	})
	t.Time(&r.since)
	t.Time(&r.gone)
	if t.Reading() && t.Err() == nil && r.first == nil {
		t.Fail("replier %d is watched without a request", r.id)
	}
}

func (s *standing) tape(t *tape.Tape) { tape.Slice(t, (*[]kbusdev.BindEvent)(s), t.BindEvent) }

func (r *renaming) tape(t *tape.Tape) {
	tape.Named(t, &r.held, func(s **standing) {
		if t.Reading() {
			*s = new(standing)
		}
		(*s).tape(t)
	})
}

func (r *roster) tape(t *tape.Tape) {
	r.bytes = 0
	tape.Named(t, &r.byName, func(e *rosterEntry) {
		t.Ksock(&e.binder)
		t.Uint64(&e.turn)
	})
	for name := range r.byName {
		r.bytes += len(name)
	}
	t.Uint64(&r.sum)
	t.Uint64(&r.turn)
	t.Bool(&r.snapshot)
	t.Uint64(&r.mark)
	t.Bool(&r.missed)
}

func (b *proxies) tape(t *tape.Tape) {
	tape.Map(t, &b.byName, cmp.Compare[string], func(name *string, p **proxy) {
		t.Name(name)
		if t.Reading() {
			*p = &proxy{name: *name}
		}
		(*p).tape(t)
		if t.Reading() && (*p).bound {
			b.bound++
		}
		if t.Reading() && (*p).denied {
			b.denied++
		}
	})
	t.Bool(&b.ending)
	tape.Named(t, &b.flaps, func(f *flap) {
		t.Count(&f.binds)
		t.Time(&f.since)
	})
}

func (p *proxy) tape(t *tape.Tape) {
	for _, is := range []*bool{&p.wanted, &p.denied, &p.bound, &p.asking, &p.waited} {
		t.Bool(is)
	}
}

// What a timer may belong to.
const (
	ofProxy uint8 = iota
	ofQuestion
	ofRespondent
	ofParked
	numOwners
)

// tapeTimers takes the running timers, in the order of the heap, each with its owner.
func (m *Machine) tapeTimers(t *tape.Tape) {
	t.Uint64(&m.timers.turn)
	tape.Slice(t, &m.timers.heap, func(running **timer) {
		var at timer
		if !t.Reading() {
			at = **running
		}
		t.Time(&at.at)
		t.Uint64(&at.turn)
		of := m.tapeOwner(t, &at)
		if !t.Reading() || t.Err() != nil {
			return
		}
		if of == nil || of.owner != nil {
			t.Fail("a timer has no owner, or one that has another")
			return
		}
		*of = at
		*running = of
	})
	for i, running := range m.timers.heap {
		running.slot = i + 1
	}
}

// tapeOwner takes the owner of a timer, and returns its place there; nil if there is none.
func (m *Machine) tapeOwner(t *tape.Tape, of *timer) *timer {
	var kind uint8
	var name string
	var id kbusdev.MsgID
	var ksock kbusdev.KsockID
	var parked kbusdev.Message
	switch owner := of.owner.(type) {
	case *proxy:
		name = owner.name
	case *question:
		kind, id = ofQuestion, owner.id
	case *respondent:
		kind, ksock = ofRespondent, owner.id
	case *parkedReply:
		kind, parked = ofParked, owner.reply
	}
	t.Uint8(&kind, numOwners-1)
	switch kind {
	case ofProxy:
		t.Name(&name)
		if p := m.binds.byName[name]; p != nil {
			of.owner = p
			return &p.timer
		}
	case ofQuestion:
		t.MsgID(&id)
		if q := m.asked.byID[id].watched; q != nil {
			of.owner = q
			return &q.timer
		}
	case ofRespondent:
		t.Ksock(&ksock)
		if r := m.asked.watch.byReplier[ksock]; r != nil {
			of.owner = r
			return &r.timer
		}
	default:
		t.Message(&parked)
		p := &parkedReply{reply: parked}
		of.owner = p
		return &p.timer
	}
	return nil
}

// Tape takes an effect.
func (e *Effect) Tape(t *tape.Tape) {
	t.Uint8((*uint8)(&e.Kind), uint8(Stop))
	t.Uint8((*uint8)(&e.Reason), uint8(numReasons-1))
	switch e.Kind {
	case Forward, Bounce, Send:
		t.Bool(&e.Own)
		t.Message(&e.Msg)
	case Bind, Unbind:
		t.Name(&e.Name)
	case Drop, Snapshot, Stop:
	}
}

// Tape takes the counts.
func (d *Durations) Tape(t *tape.Tape) {
	for i := range d.Counts {
		t.Uint64(&d.Counts[i])
	}
	t.Duration(&d.Sum)
}

// Tape takes the counts.
func (s *Stats) Tape(t *tape.Tape) {
	for _, n := range []*uint64{&s.Requests, &s.Replies, &s.Synthetic, &s.Open, &s.Asked, &s.Proxies, &s.Wishes, &s.Repliers} {
		t.Uint64(n)
	}
}
