package events

import (
	"sync"
	"time"
)

// Bounds of what a Ring keeps.
const (
	// MaxEvents is how many events are kept.
	MaxEvents = 4096
	// MaxBytes is how much memory they take, about.
	MaxBytes = 2 << 20
)

// A Ring keeps the latest events. Its methods are safe for concurrent use, and wait for
// nothing.
type Ring struct {
	mu          sync.Mutex
	started     time.Time
	entries     []Event // event n is at (n-1) % MaxEvents
	oldest      uint64  // of those that are kept; next if there is none
	next        uint64  // of the one to come
	bytes       int
	forgottenAt time.Time // when the newest was that is kept no more
	reloaded    uint64    // the first event of the latest reload; 1 if there was none
	added       chan struct{}
}

// New returns a Ring without events.
func New() *Ring {
	return &Ring{started: time.Now(), oldest: 1, next: 1, reloaded: 1, added: make(chan struct{})}
}

// add keeps an event, and forgets old ones where it must.
func (r *Ring) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Number = r.next
	r.next++
	r.bytes += e.size()
	for r.oldest < e.Number && (e.Number-r.oldest >= MaxEvents || r.bytes > MaxBytes) {
		old := r.at(r.oldest)
		r.bytes -= old.size()
		r.forgottenAt = old.Time
		*old = Event{}
		r.oldest++
	}
	if len(r.entries) < MaxEvents { // it grows to what is needed
		r.entries = append(r.entries, e)
	} else {
		*r.at(e.Number) = e
	}
	close(r.added)
	r.added = make(chan struct{})
}

func (r *Ring) at(number uint64) *Event { return &r.entries[(number-1)%MaxEvents] }

// Next returns the number that the next event will have.
func (r *Ring) Next() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// Reloaded notes that the latest reload of the configuration begins with an event, which
// Next has told before it.
func (r *Ring) Reloaded(first uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reloaded = first
}

// LatestReload returns the number of the first event of the latest reload; 1, the first of
// all, if there was none.
func (r *Ring) LatestReload() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reloaded
}

// KeptSince returns since when no event is missing, and the number of the oldest that is
// kept: since the Ring was made, or since the newest event that is kept no more.
func (r *Ring) KeptSince() (time.Time, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.oldest == 1 {
		return r.started, 1
	}
	return r.forgottenAt, r.oldest
}

// A Page is what Read returns.
type Page struct {
	// Events are in order, at most 256 of them. They are shared, and must not be changed.
	Events []Event
	// Missed is how many before them are kept no more.
	Missed uint64
	// Next is where the next page begins.
	Next uint64
	// Added, unless there is more to be read at once, is closed when there is; else it is nil.
	Added <-chan struct{}
}

// Bounds of a Page.
const (
	pageEvents = 256
	pageBytes  = 512 << 10
)

// Read returns the events from one on, of which as many as fit into a page.
func (r *Ring) Read(from uint64) Page {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Page{Next: from}
	if from < r.oldest {
		p.Missed = r.oldest - from
		p.Next = r.oldest
	}
	for bytes := 0; p.Next < r.next; p.Next++ {
		if len(p.Events) == pageEvents || bytes >= pageBytes {
			return p
		}
		e := r.at(p.Next)
		bytes += e.size()
		p.Events = append(p.Events, *e)
	}
	p.Added = r.added
	return p
}
