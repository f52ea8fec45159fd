package faults

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// How long it takes from a fault until a request that is asked afterwards is
// answered from the other side. It prints, and fails only when none is.
func TestRecovery(t *testing.T) {
	times, beside := 2, 2
	if asked("long") {
		times, beside = 20, 10
	}
	for _, c := range []struct {
		name string
		hurt func(n *network)
		long bool // it takes as long as a dead peer is waited for
	}{
		{"RST", func(n *network) { n.apply(fault{kind: rst})() }, false},
		{"restart of the acceptor", func(n *network) { n.apply(fault{kind: kill, target: 1})() }, false},
		{"restart of the dialler", func(n *network) { n.apply(fault{kind: kill, target: 0})() }, false},
		{"black hole", func(n *network) { n.tr.outage(-1, 0); n.cables[0].leak() }, true},
	} {
		if c.long && !asked("long") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			var took []time.Duration
			together(t, times, beside, strconv.Itoa, func(t *testing.T, _ int) {
				d := recovery(t, c.hurt)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, d)
			})
			if slices.Sort(took); len(took) > 0 {
				t.Logf("%s: %d times, p50 %v, max %v", c.name, len(took), took[(len(took)-1)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
			}
		})
	}
}

// recovery hurts a pair, and gives how long it took until both sides had a reply from
// the other and heard it.
func recovery(t *testing.T, hurt func(*network)) time.Duration {
	n := newNetwork(t, shapes[0], "tcp", 0, false)
	n.populate(func(p *programs) { p.send, p.ask = 20*time.Millisecond, 20*time.Millisecond })
	began := n.tr.now()
	hurt(n)
	n.settle()
	took := n.tr.now() - began
	n.depopulate()
	for _, bad := range n.tr.check(n.shape) {
		t.Error(bad)
	}
	return took
}
