package sim

import (
	"container/heap"
	"time"
)

// A clock runs events in the order of their virtual times. Two at the same time run in
// the order in which they were set.
type clock struct {
	now    time.Time
	events eventHeap
	turn   uint64
}

type event struct {
	at   time.Time
	turn uint64
	run  func()
}

type eventHeap []*event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].turn < h[j].turn
	}
	return h[i].at.Before(h[j].at)
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(*event)) }
func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	ev := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return ev
}

// at has f run at a time, at once if that is over.
func (c *clock) at(t time.Time, f func()) {
	if t.Before(c.now) {
		t = c.now
	}
	c.turn++
	heap.Push(&c.events, &event{at: t, turn: c.turn, run: f})
}

func (c *clock) after(d time.Duration, f func()) { c.at(c.now.Add(d), f) }

// step runs the next event, unless it comes after end; then it is end now.
func (c *clock) step(end time.Time) bool {
	if len(c.events) == 0 || c.events[0].at.After(end) {
		c.now = end
		return false
	}
	ev := heap.Pop(&c.events).(*event)
	c.now = ev.at
	ev.run()
	return true
}

// A task is something that is looked at again and again: a goroutine of a daemon or a
// program. It runs some time after it was woken.
type task struct {
	w    *World
	who  *machine // what can be stopped
	run  func()
	due  time.Time // zero while it sleeps
	set  uint64    // counts how often it was set, so that older events do nothing
	dead bool
}

// wake has the task run soon.
func (t *task) wake() {
	if t.dead {
		return
	}
	t.wakeAt(t.w.now.Add(t.w.jitter(t.who)))
}

// wakeAt has the task run at a time, unless it runs before that.
func (t *task) wakeAt(at time.Time) {
	if t.dead || at.IsZero() || !t.due.IsZero() && !at.Before(t.due) {
		return
	}
	t.due = at
	t.set++
	set := t.set
	t.w.at(at, func() { t.fire(set) })
}

func (t *task) fire(set uint64) {
	if t.dead || set != t.set {
		return
	}
	if t.w.now.Before(t.who.stoppedUntil) {
		t.due = time.Time{}
		t.wakeAt(t.who.stoppedUntil.Add(t.w.jitter(t.who)))
		return
	}
	t.due = time.Time{}
	t.run()
}
