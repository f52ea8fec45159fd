package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// memoryShare is how much larger a daemon may be at most in the second half of the
// soak than in the first: a leak of a few bytes a request is far above it.
const memoryShare = 0.25

// A chain of three is asked a thousand requests a second while each second brings a
// fault. None is unanswered, none runs twice, and the daemons that live through it do
// not grow. A kill comes now and then, and always to the last in the chain:
// LIMPET_TEST=soak go test -timeout 20m -run Soak -v ./test/faults
func TestSoak(t *testing.T) {
	if !asked("soak") {
		t.Skip("LIMPET_TEST=soak runs it, for ten minutes or as long as -soak says")
	}
	seed := *oneSeed
	if seed == 0 {
		seed = rand.Uint64N(1e9)
	}
	t.Logf("seed %d", seed)
	n := newNetwork(t, shapes[1], "tcp", 0, false)
	n.populate(func(p *programs) {
		p.send = 50 * time.Millisecond
		p.each = 10
		p.ask = time.Second * time.Duration(p.each*len(n.nodes)) / time.Duration(*soakRate)
	})
	ctx, stop := context.WithTimeout(t.Context(), *soakFor)
	defer stop()
	var watch sync.WaitGroup
	grown := make([]growth, 2)
	for i := range grown {
		watch.Go(func() { grown[i].watch(ctx, n.nodes[i], *soakFor) })
	}
	faults := n.torment(ctx, rand.New(rand.NewPCG(seed, 9)))
	watch.Wait()
	n.settle()
	n.depopulate()
	t.Logf("%d faults, %d announcements, %d requests: %v", faults, len(n.tr.sent), len(n.tr.calls), n.tr.counts())
	if bad := n.tr.check(n.shape); len(bad) > 0 {
		t.Errorf("%d promises are broken:\n%s", len(bad), strings.Join(bad[:min(len(bad), 30)], "\n"))
	}
	for i := range grown {
		t.Logf("node %d had at most %d KiB in the first half, %d KiB in the second", i, grown[i].most[0]>>10, grown[i].most[1]>>10)
		if limit := float64(grown[i].most[0]) * (1 + memoryShare); float64(grown[i].most[1]) > limit || grown[i].most[0] == 0 {
			t.Errorf("node %d grows: %d bytes in the first half, %d in the second", i, grown[i].most[0], grown[i].most[1])
		}
	}
}

// A growth is the most that a process had in memory, in each half of a time.
type growth struct{ most [2]int }

func (g *growth) watch(ctx context.Context, n *node, all time.Duration) {
	began := time.Now()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			half := 0
			if time.Since(began) > all/2 {
				half = 1
			}
			size, err := n.memory()
			if err != nil {
				n.t.Error(err)
				return
			}
			g.most[half] = max(g.most[half], size)
		case <-ctx.Done():
			return
		}
	}
}

// torment brings a fault each second until ctx ends, and gives their number.
func (n *network) torment(ctx context.Context, r *rand.Rand) (faults int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ; ; faults++ {
		select {
		case <-ctx.Done():
			return faults
		case <-tick.C:
		}
		f := fault{kind: []kind{stop, fin, rst, hole, drop, slow}[r.IntN(6)], lasts: time.Duration(50+r.IntN(350)) * time.Millisecond}
		switch {
		case faults%20 == 19:
			f.kind, f.target = kill, len(n.nodes)-1
		case f.kind == stop:
			f.target = r.IntN(len(n.nodes))
		default:
			f.target, f.ways, f.rate = r.IntN(len(n.cables)), [][]int{{toBack}, {toFront}, {toBack, toFront}}[r.IntN(3)], 100000
		}
		over := n.apply(f)
		end := time.NewTimer(f.lasts)
		<-end.C
		over()
	}
}

// The halves of a growth are told apart, and a process has a size.
func TestGrowth(t *testing.T) {
	n := newNode(t, 0)
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var g growth
	g.watch(ctx, n, 0)
	if g.most[0] != 0 || g.most[1] < 1<<20 {
		t.Errorf("the sizes are %s", fmt.Sprint(g.most))
	}
}
