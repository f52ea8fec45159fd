package tap

import (
	"cmp"
	"sync/atomic"
	"time"
)

// Bounds of what a tap keeps until it is taken.
const (
	// maxRecords is how many records; a power of two.
	maxRecords = 8192
	// maxBytes is how many bytes of data and names beside them.
	maxBytes = 8 << 20
)

// Lost is what a tap could not keep since it was opened: what it shows and this together is
// what its filter matched.
type Lost struct {
	// OverRate came faster than Config.Rate, NoRoom found the ring full.
	OverRate, NoRoom uint64
}

// A Tap keeps records for somebody who looks, in a ring. Everything but Close is for one
// goroutine.
type Tap struct {
	hub     *Hub
	filter  filter
	maxData int
	pace    pace

	// A bounded queue for many writers and one reader: a writer claims the place at tail, and
	// the turn of a slot says whose it is.
	ring  []slot
	tail  atomic.Uint64
	head  uint64
	bytes atomic.Int64 // of the data and names in it

	overRate, noRoom atomic.Uint64

	idle atomic.Bool   // the reader waits, or is about to
	wake chan struct{} // something has come for it
}

// A slot holds one record. Its turn is the place in the queue that may be written next, or
// that place plus one once it may be read.
type slot struct {
	turn   atomic.Uint64
	record Record
	bytes  int64
}

func newTap(h *Hub, cfg Config) (*Tap, error) {
	f, err := cfg.compile()
	if err != nil {
		return nil, err
	}
	t := &Tap{
		hub: h, filter: f, maxData: cfg.MaxData,
		ring: make([]slot, maxRecords), wake: make(chan struct{}, 1),
	}
	t.pace.set(cmp.Or(cfg.Rate, DefaultRate))
	for i := range t.ring {
		t.ring[i].turn.Store(uint64(i))
	}
	return t, nil
}

// Close takes the tap away. What it has kept can still be taken. It may be called by any
// goroutine, and more than once.
func (t *Tap) Close() { t.hub.remove(t) }

// Lost returns what could not be kept so far.
func (t *Tap) Lost() Lost { return Lost{OverRate: t.overRate.Load(), NoRoom: t.noRoom.Load()} }

// offer keeps a record, if it is to be shown and there is room. It never waits.
func (t *Tap) offer(r *Record, data []byte) {
	if !t.filter.matches(r) {
		return
	}
	if !t.pace.take(r.At) {
		t.overRate.Add(1)
		t.rouse()
		return
	}
	n := 0
	if r.Here != "" {
		n = min(len(data), t.maxData)
	}
	size := int64(n + len(r.Read.Name) + len(r.Given.Name))
	if t.bytes.Add(size) > maxBytes {
		t.bytes.Add(-size)
		t.noRoom.Add(1)
		return
	}
	s, place, ok := t.claim()
	if !ok {
		t.bytes.Add(-size)
		t.noRoom.Add(1)
		return
	}
	s.record, s.bytes = *r, size
	if n > 0 {
		s.record.Data = append([]byte(nil), data[:n]...) // the message's own may be part of a whole frame
	}
	s.turn.Store(place + 1)
	t.rouse()
}

// claim returns a slot to be written, and its place in the queue; false if the ring is full.
func (t *Tap) claim() (*slot, uint64, bool) {
	for {
		place := t.tail.Load()
		s := &t.ring[place%maxRecords]
		switch turn := s.turn.Load(); {
		case turn == place:
			if t.tail.CompareAndSwap(place, place+1) {
				return s, place, true
			}
		case turn < place: // the reader has not come round
			return nil, 0, false
		}
	}
}

// rouse wakes the reader if it waits.
func (t *Tap) rouse() {
	if t.idle.Load() && t.idle.CompareAndSwap(true, false) {
		select {
		case t.wake <- struct{}{}:
		default: // it is about to be woken already
		}
	}
}

// Next calls f with the next record, which is valid until f returns, and reports whether
// there was one.
func (t *Tap) Next(f func(*Record)) bool {
	s := &t.ring[t.head%maxRecords]
	if s.turn.Load() != t.head+1 {
		return false
	}
	f(&s.record)
	t.bytes.Add(-s.bytes)
	s.record = Record{}
	s.turn.Store(t.head + maxRecords)
	t.head++
	return true
}

// Wait returns a channel that receives when there is something to take, or something was lost
// over the rate; perhaps when there is not.
func (t *Tap) Wait() <-chan struct{} {
	t.idle.Store(true)
	if t.ring[t.head%maxRecords].turn.Load() == t.head+1 { // it came before the reader was idle
		t.rouse()
	}
	return t.wake
}

// A pace lets so many through in a second, and as many at once. It keeps the time at which
// it would be full again, in nanoseconds, so that one atomic operation changes it.
type pace struct {
	each int64 // nanoseconds
	most int64
	full atomic.Int64
}

func (p *pace) set(rate int) {
	p.each = int64(time.Second) / int64(rate)
	p.most = p.each * int64(rate)
}

// take takes one, and reports whether there was one.
func (p *pace) take(at time.Time) bool {
	now := at.UnixNano()
	for {
		was := p.full.Load()
		next := max(was, now) + p.each
		if next-now > p.most {
			return false
		}
		if p.full.CompareAndSwap(was, next) {
			return true
		}
	}
}
