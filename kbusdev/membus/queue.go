package membus

import "github.com/kbus-limpet/limpet/kbusdev"

// A posted is a message on the bus. It is one piece of memory with the slot for the
// first queue that it is put into, for most messages have one recipient.
type posted struct {
	kbusdev.Message
	slot   slot
	queued uint32 // how often it was put into a queue
	live   uint32 // in how many it is
	kept   bool   // it may be put into others later
}

// shared reports whether somebody else has the message, had it, or may get it.
func (p *posted) shared() bool { return p.queued > 1 || p.kept }

// A queued is one recipient's copy of a message: the message is shared, the
// flags are its own.
type queued struct {
	msg     *posted
	via     *binding // the binding it came through; nil for replies and synthetic ones
	flags   kbusdev.Flags
	request bool // it is the replier's copy of a request
}

// bytes is what the copy counts against the bound of its queue.
func (e *queued) bytes() int { return e.msg.Size() }

// A slot is a place in a queue. It is also in the list of what came through its
// binding, so that an unbind finds that without a look at the whole queue.
type slot struct {
	queued
	ahead, behind *slot
	aheadVia      *slot // the next one ahead that came through the same binding
	nextVia       *slot // the next one behind that did
}

// A via lists, in the order of their queue, the slots that came through a binding.
type via struct{ first, last *slot }

// letGo makes the slots ones that came through no binding; they stay in their queue.
func (v *via) letGo() {
	for s := v.first; s != nil; {
		next := s.nextVia
		s.via, s.aheadVia, s.nextVia = nil, nil, nil
		s = next
	}
	*v = via{}
}

// A queue is a list with both ends open: URGENT goes to the front.
type queue struct {
	first, last *slot
	n           int
	bytes       int // names and data
	spare       *spares
	all         *load // of all queues of the bus
}

// A load is what is in all queues of a bus.
type load struct {
	copies int
	bytes  int // each message once
}

func (q *queue) push(e queued) *slot {
	s := &e.msg.slot
	if e.msg.queued++; e.msg.queued > 1 || e.request { // the asker keeps the slot of a request for longer than its message
		s = q.spare.take()
	}
	s.queued = e
	q.n++
	q.bytes += e.bytes()
	q.all.copies++
	if e.msg.live++; e.msg.live == 1 {
		q.all.bytes += e.bytes()
	}
	urgent := e.flags&kbusdev.Urgent != 0
	switch {
	case q.first == nil:
		q.first, q.last = s, s
	case urgent:
		s.behind, q.first.ahead, q.first = q.first, s, s
	default:
		s.ahead, q.last.behind, q.last = q.last, s, s
	}
	if e.via == nil {
		return s
	}
	switch v := &e.via.queued; {
	case v.first == nil:
		v.first, v.last = s, s
	case urgent:
		s.nextVia, v.first.aheadVia, v.first = v.first, s, s
	default:
		s.aheadVia, v.last.nextVia, v.last = v.last, s, s
	}
	return s
}

// pop takes the first slot's copy, which must be there.
func (q *queue) pop() queued { return q.take(q.first) }

// take takes a slot's copy out of the queue and of its binding's list.
func (q *queue) take(s *slot) queued {
	if s.via != nil {
		v := &s.via.queued
		if s.aheadVia != nil {
			s.aheadVia.nextVia = s.nextVia
		} else {
			v.first = s.nextVia
		}
		if s.nextVia != nil {
			s.nextVia.aheadVia = s.aheadVia
		} else {
			v.last = s.aheadVia
		}
	}
	return q.remove(s)
}

// takeVia removes what came through b, in order, and keeps the rest.
func (q *queue) takeVia(b *binding) (taken []queued) {
	for s := b.queued.first; s != nil; {
		next := s.nextVia
		taken = append(taken, q.remove(s))
		s = next
	}
	b.queued = via{}
	return taken
}

// remove takes s out of the queue, but not out of its binding's list.
func (q *queue) remove(s *slot) queued {
	if s.ahead != nil {
		s.ahead.behind = s.behind
	} else {
		q.first = s.behind
	}
	if s.behind != nil {
		s.behind.ahead = s.ahead
	} else {
		q.last = s.ahead
	}
	e := s.queued
	q.n--
	q.bytes -= e.bytes()
	q.all.copies--
	if e.msg.live--; e.msg.live == 0 {
		q.all.bytes -= e.bytes()
	}
	if s == &e.msg.slot {
		*s = slot{}
	} else {
		q.spare.give(s)
	}
	return e
}

// spares are empty slots to be used again, by all queues of a bus.
type spares struct {
	first *slot
	n     int
}

// maxSpares bounds them: what a burst needed is given back.
const maxSpares = 1024

func (p *spares) take() *slot {
	s := p.first
	if s == nil {
		return new(slot)
	}
	p.first, s.behind = s.behind, nil
	p.n--
	return s
}

func (p *spares) give(s *slot) {
	*s = slot{}
	if p.n == maxSpares {
		return
	}
	s.behind, p.first = p.first, s
	p.n++
}
