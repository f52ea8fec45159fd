package translate

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Timers set, moved and stopped at random come in the order a sorted list gives.
func TestTimersAgreeWithASortedList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var q timers
	all := make([]timer, 50)
	var running []*timer // the twin, unsorted
	for step := range 20_000 {
		tm := &all[rnd.IntN(len(all))]
		at := slices.Index(running, tm)
		switch rnd.IntN(3) {
		case 0:
			q.stop(tm)
			if at >= 0 {
				running = slices.Delete(running, at, at+1)
			}
		default:
			q.set(tm, nil, time.Unix(rnd.Int64N(100), 0))
			if at < 0 {
				running = append(running, tm)
			}
		}
		var want time.Time
		if len(running) > 0 {
			first := slices.MinFunc(running, func(a, b *timer) int {
				if c := a.at.Compare(b.at); c != 0 {
					return c
				}
				return int(a.turn) - int(b.turn)
			})
			want = first.at
			if q.heap[0] != first {
				t.Fatalf("step %d: another timer is first", step)
			}
		}
		if !q.first().Equal(want) || q.Len() != len(running) {
			t.Fatalf("step %d: first is %v of %d, want %v of %d", step, q.first(), q.Len(), want, len(running))
		}
	}
}
