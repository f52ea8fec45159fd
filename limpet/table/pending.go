package table

import (
	"container/list"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// An Event says that a name was bound or unbound.
type Event struct {
	// Listener is false for a replier.
	Listener bool
	// Bound is true when it was bound, false when it was unbound.
	Bound bool
	// Binder is the Ksock that did it; 0 for a listener, if nobody cares which.
	Binder kbusdev.KsockID
	// Name is the name, perhaps a wildcard.
	Name string
}

// Pending are events that a peer is still to be told. Of each replier's name it
// keeps one unbind and the bind after it at most, of each listener one event, so
// its memory is the number of names that wait. Except for Take, which costs what it
// returns, every cost is the same whatever waits.
//
// It takes it that the events of a name alternate: who holds it unbinds it before
// another binds it. When the bus has lost an unbind event, Repliers.Bind tells whose,
// and the caller adds that event first. If it does not, the peer may keep a replier
// that has gone, until the tables are compared.
type Pending struct {
	order list.List // Event
	keys  map[pendingKey]waiting
	most  int // keys there were, since they were none
}

type pendingKey struct {
	listener bool
	binder   kbusdev.KsockID // 0 for a replier: of one name there is one
	name     string
}

// waiting are the places of one key's events. The unbind stands before the bind.
type waiting struct {
	unbind, bind *list.Element
}

// NewPending returns a Pending in which nothing waits.
func NewPending() *Pending { return &Pending{keys: make(map[pendingKey]waiting)} }

func keyOf(e Event) pendingKey {
	k := pendingKey{listener: e.Listener, name: e.Name}
	if e.Listener {
		k.binder = e.Binder
	}
	return k
}

// Add adds an event. A bind that has not been taken and its unbind cancel each
// other, for a listener also an unbind and the bind after it.
func (p *Pending) Add(e Event) {
	key := keyOf(e)
	w := p.keys[key]
	switch {
	case e.Bound && e.Listener && w.unbind != nil:
		p.order.Remove(w.unbind)
		w.unbind = nil
	case e.Bound:
		if w.bind != nil {
			p.order.Remove(w.bind)
		}
		w.bind = p.order.PushBack(e)
	case w.bind == nil:
		if w.unbind != nil {
			p.order.Remove(w.unbind)
		}
		w.unbind = p.order.PushBack(e)
	case w.bind.Value.(Event).Binder == e.Binder:
		p.order.Remove(w.bind)
		w.bind = nil
	case w.unbind == nil: // it comes late, so it must not undo the bind
		w.unbind = p.order.InsertBefore(e, w.bind)
	}
	p.keep(key, w)
}

// Take removes and returns the first events, at most so many, in the order they
// were added. What was taken counts as told.
func (p *Pending) Take(most int) []Event {
	most = min(most, p.order.Len())
	if most <= 0 {
		return nil
	}
	events := make([]Event, 0, most)
	for range most {
		e := p.order.Remove(p.order.Front()).(Event)
		key := keyOf(e)
		w := p.keys[key]
		if e.Bound {
			w.bind = nil
		} else {
			w.unbind = nil
		}
		p.keep(key, w)
		events = append(events, e)
	}
	return events
}

// Len returns how many events wait.
func (p *Pending) Len() int { return p.order.Len() }

func (p *Pending) keep(key pendingKey, w waiting) {
	if w.unbind == nil && w.bind == nil {
		delete(p.keys, key)
		if len(p.keys) == 0 && p.most > 1024 {
			p.keys, p.most = make(map[pendingKey]waiting), 0 // a map never shrinks
		}
		return
	}
	p.keys[key] = w
	p.most = max(p.most, len(p.keys))
}
