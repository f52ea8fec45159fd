package translate

import (
	"container/heap"
	"time"
)

// A timer makes its owner due at a time. Owners embed it; the zero value is stopped.
type timer struct {
	at    time.Time
	turn  uint64 // of two timers with the same time, the one set first comes first
	slot  int    // place in the heap counted from 1; 0 is stopped
	owner due
}

type due interface {
	// due does what the timer was set for. The timer is stopped by then.
	due(m *Machine, fx []Effect) []Effect
}

// timers holds the running timers, earliest first. Setting and stopping one costs
// the logarithm of their number.
type timers struct {
	heap []*timer
	turn uint64
}

// set starts t, or moves it to another time.
func (q *timers) set(t *timer, owner due, at time.Time) {
	q.turn++
	t.at, t.turn, t.owner = at, q.turn, owner
	if t.slot == 0 {
		heap.Push(q, t)
	} else {
		heap.Fix(q, t.slot-1)
	}
}

func (q *timers) stop(t *timer) {
	if t.slot > 0 {
		heap.Remove(q, t.slot-1)
	}
}

// first returns the earliest time; zero when no timer runs.
func (q *timers) first() time.Time {
	if len(q.heap) == 0 {
		return time.Time{}
	}
	return q.heap[0].at
}

// Len is for container/heap, like the methods below.
func (q *timers) Len() int { return len(q.heap) }

func (q *timers) Less(i, j int) bool {
	a, b := q.heap[i], q.heap[j]
	if a.at.Equal(b.at) {
		return a.turn < b.turn
	}
	return a.at.Before(b.at)
}

func (q *timers) Swap(i, j int) {
	q.heap[i], q.heap[j] = q.heap[j], q.heap[i]
	q.heap[i].slot, q.heap[j].slot = i+1, j+1
}

func (q *timers) Push(t any) {
	q.heap = append(q.heap, t.(*timer))
	q.heap[len(q.heap)-1].slot = len(q.heap)
}

func (q *timers) Pop() any {
	last := len(q.heap) - 1
	t := q.heap[last]
	q.heap[last] = nil
	q.heap = q.heap[:last]
	t.slot = 0
	return t
}
