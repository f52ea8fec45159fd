package table

import (
	"cmp"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Repliers is who replies to what on one bus, made from its bind events. It
// answers for wildcards too, which the bus's own query does not. Except for Names,
// All and EndSnapshot, no cost depends on the number of bindings.
type Repliers struct {
	byName    map[string]*binding
	byBinder  map[kbusdev.KsockID]*binding // the head of its list
	wildcards wildcards[binding]

	newest, oldest int64
	snapshot       uint32
}

// A binding is one name bound by one Ksock.
type binding struct {
	name   string
	binder kbusdev.KsockID
	seq    int64  // a higher one was bound later
	seen   uint32 // the latest snapshot that told of it

	prev, next *binding // of the same binder
}

// NewRepliers returns an empty table.
func NewRepliers() *Repliers {
	return &Repliers{byName: make(map[string]*binding), byBinder: make(map[kbusdev.KsockID]*binding)}
}

// Bind notes that binder replies to name, and returns who did before, 0 if nobody.
// Another than binder means that the bus lost an unbind event. old: a snapshot
// tells of it, so it is older than all that was noted before.
func (r *Repliers) Bind(name string, binder kbusdev.KsockID, old bool) (before kbusdev.KsockID) {
	b := r.byName[name]
	if b != nil {
		before = b.binder
		if before == binder {
			b.seen = r.snapshot
			return before
		}
		r.remove(b)
	}
	b = &binding{name: name, binder: binder, seen: r.snapshot}
	if old {
		r.oldest--
		b.seq = r.oldest
	} else {
		r.newest++
		b.seq = r.newest
	}
	r.byName[name] = b
	if kbusdev.IsWildcard(name) {
		r.wildcards.set(name, b)
	}
	if b.next = r.byBinder[binder]; b.next != nil {
		b.next.prev = b
	}
	r.byBinder[binder] = b
	return before
}

// Unbind notes that binder no longer replies to name, and reports whether it did:
// a late event about a former binder changes nothing.
func (r *Repliers) Unbind(name string, binder kbusdev.KsockID) bool {
	b := r.byName[name]
	if b == nil || b.binder != binder {
		return false
	}
	r.remove(b)
	return true
}

func (r *Repliers) remove(b *binding) {
	delete(r.byName, b.name)
	if kbusdev.IsWildcard(b.name) {
		r.wildcards.set(b.name, nil)
	}
	if b.next != nil {
		b.next.prev = b.prev
	}
	switch {
	case b.prev != nil:
		b.prev.next = b.next
	case b.next != nil:
		r.byBinder[b.binder] = b.next
	default:
		delete(r.byBinder, b.binder)
	}
}

// Lookup returns who replies to a message of this name, 0 if nobody: an exact
// binding before one with "%" before one with "*", and of several "*" the one bound
// last, as on the bus.
func (r *Repliers) Lookup(name string) kbusdev.KsockID {
	if b := r.byName[name]; b != nil {
		return b.binder
	}
	var best *binding
	r.wildcards.match(name, func(b *binding, level bool) bool {
		if level || best == nil || b.seq > best.seq {
			best = b
		}
		return true
	})
	if best == nil {
		return 0
	}
	return best.binder
}

// Bound returns who has bound exactly this name, perhaps a wildcard, 0 if nobody.
func (r *Repliers) Bound(name string) kbusdev.KsockID {
	if b := r.byName[name]; b != nil {
		return b.binder
	}
	return 0
}

// Has reports whether binder replies to anything.
func (r *Repliers) Has(binder kbusdev.KsockID) bool { return r.byBinder[binder] != nil }

// Names returns what binder replies to, what was noted last first. Its cost is
// their number.
func (r *Repliers) Names(binder kbusdev.KsockID) []string {
	var names []string
	for b := r.byBinder[binder]; b != nil; b = b.next {
		names = append(names, b.name)
	}
	return names
}

// All returns every binding, oldest first.
func (r *Repliers) All() []kbusdev.BindEvent {
	return r.events(true, func(*binding) bool { return true })
}

// Len returns the number of bindings.
func (r *Repliers) Len() int { return len(r.byName) }

// BeginSnapshot starts a snapshot: the bus tells of every binding there is. One
// that has begun before and not ended is given up.
func (r *Repliers) BeginSnapshot() { r.snapshot++ }

// EndSnapshot returns the bindings that Bind was not called for since
// BeginSnapshot, oldest first: the bus has them no more, and the caller unbinds
// them. Its cost is the number of all bindings.
func (r *Repliers) EndSnapshot() []kbusdev.BindEvent {
	return r.events(false, func(b *binding) bool { return b.seen != r.snapshot })
}

// events returns an event for each binding that f chooses, oldest first.
func (r *Repliers) events(bound bool, f func(*binding) bool) []kbusdev.BindEvent {
	var chosen []*binding
	for _, b := range r.byName {
		if f(b) {
			chosen = append(chosen, b)
		}
	}
	slices.SortFunc(chosen, func(a, b *binding) int { return cmp.Compare(a.seq, b.seq) })
	events := make([]kbusdev.BindEvent, 0, len(chosen))
	for _, b := range chosen {
		events = append(events, kbusdev.BindEvent{Bound: bound, Binder: b.binder, Name: b.name})
	}
	return events
}
