package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// maxTimes is how many durations are kept: of more, as many by chance.
const maxTimes = 1 << 20

// times are how long things took. Its methods may be called by many goroutines.
type times struct {
	mu    sync.Mutex
	some  []time.Duration
	count int
}

func (t *times) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if len(t.some) < maxTimes {
		t.some = append(t.some, d)
	} else if i := rand.IntN(t.count); i < maxTimes { // each is kept with the same chance
		t.some[i] = d
	}
}

// A spread is how durations are spread: the least, half, 99 of 100, and all took no longer.
type spread struct{ least, p50, p99, most time.Duration }

// summary returns the spread; all 0 if there are none.
func (t *times) summary() (s spread) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.some) == 0 {
		return s
	}
	slices.Sort(t.some)
	at := func(part float64) time.Duration { return t.some[min(int(part*float64(len(t.some))), len(t.some)-1)] }
	return spread{at(0), at(0.5), at(0.99), at(1)}
}

// String returns it for people.
func (s spread) String() string {
	return fmt.Sprintf("min %v, p50 %v, p99 %v, max %v", s.least, s.p50, s.p99, s.most)
}

func (s spread) members() object {
	return object{
		{"min_seconds", s.least.Seconds()}, {"p50_seconds", s.p50.Seconds()}, {"p99_seconds", s.p99.Seconds()}, {"max_seconds", s.most.Seconds()},
	}
}
