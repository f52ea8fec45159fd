package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/bench/measure"
)

// listeners counts what the listening programs of a process hear.
type listeners struct {
	credit *creditWriter
	all    []*listener
	phase  atomic.Int64
	step   atomic.Uint64

	mu   sync.Mutex // held while credit is told
	told uint64
}

// A listener counts what one program hears.
type listener struct {
	of     *listeners
	count  atomic.Uint64
	probed atomic.Bool

	mu   sync.Mutex
	last time.Time
	took measure.Histogram
}

func newListeners(n int, credit *creditWriter) *listeners {
	l := &listeners{credit: credit}
	l.step.Store(1)
	for range n {
		l.all = append(l.all, &listener{of: l})
	}
	return l
}

// begin forgets what was counted and counts only what belongs to the phase.
func (l *listeners) begin(phase, step int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = 0
	l.step.Store(uint64(step))
	for _, x := range l.all {
		x.mu.Lock()
		x.count.Store(0)
		x.last, x.took = time.Time{}, measure.Histogram{}
		x.mu.Unlock()
	}
	l.phase.Store(int64(phase))
}

// probed returns how many programs have heard a probe.
func (l *listeners) probed() (n int) {
	for _, x := range l.all {
		if x.probed.Load() {
			n++
		}
	}
	return n
}

func (x *listener) heard(data []byte) {
	phase, sent, ok := parseHeader(data)
	if ok && phase == probing {
		x.probed.Store(true)
		return
	}
	if ok && int64(phase) != x.of.phase.Load() {
		return
	}
	now := time.Now()
	x.mu.Lock()
	if ok {
		x.took.Add(now.Sub(sent))
	}
	x.last = now
	n := x.count.Add(1)
	x.mu.Unlock()
	if n%x.of.step.Load() == 0 {
		x.of.tell()
	}
}

// tell tells the sender what every program has heard, if that is a step more than before.
func (l *listeners) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	least := l.all[0].count.Load()
	for _, x := range l.all[1:] {
		least = min(least, x.count.Load())
	}
	if least >= l.told+l.step.Load() {
		l.told = least
		l.credit.tell(int(l.phase.Load()), least)
	}
}

// finish waits until the programs together have heard want messages, or nothing for
// patience, and returns what they heard.
func (l *listeners) finish(ctx context.Context, want uint64, patience time.Duration) Heard {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	count, since := uint64(0), time.Now()
	for {
		now := uint64(0)
		for _, x := range l.all {
			now += x.count.Load()
		}
		if now != count {
			count, since = now, time.Now()
		}
		if now >= want || time.Since(since) >= patience {
			return l.sum()
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return l.sum()
		}
	}
}

func (l *listeners) sum() (h Heard) {
	for _, x := range l.all {
		x.mu.Lock()
		h.Count += x.count.Load()
		h.Took.Merge(&x.took)
		if x.last.After(h.Last) {
			h.Last = x.last
		}
		x.mu.Unlock()
	}
	return h
}
