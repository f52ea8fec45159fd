package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A shape is which daemons there are and which dials which.
type shape struct {
	name  string
	nodes int
	links [][2]int // the first dials the second
}

var shapes = []*shape{
	{"pair", 2, [][2]int{{0, 1}}},
	{"chain", 3, [][2]int{{0, 1}, {2, 1}}},
	{"star", 4, [][2]int{{1, 0}, {2, 0}, {3, 0}}},
}

// path gives the nodes and links between two nodes, with both. Shapes are trees.
func (s *shape) path(from, to int) (nodes, links []int) {
	var walk func(at, cameBy int) bool
	walk = func(at, cameBy int) bool {
		nodes = append(nodes, at)
		if at == to {
			return true
		}
		for l, ends := range s.links {
			next := -1
			switch {
			case l == cameBy:
			case ends[0] == at:
				next = ends[1]
			case ends[1] == at:
				next = ends[0]
			}
			if next < 0 {
				continue
			}
			links = append(links, l)
			if walk(next, l) {
				return true
			}
			links = links[:len(links)-1]
		}
		nodes = nodes[:len(nodes)-1]
		return false
	}
	walk(from, -1)
	return nodes, links
}

// A kind is what a fault does.
type kind string

const (
	kill kind = "kill -9" // a daemon; it is started again when the fault is over
	stop kind = "SIGSTOP" // a daemon
	fin  kind = "FIN"     // a link, and it cannot be dialled
	rst  kind = "RST"     // the same
	hole kind = "hole"    // a link carries nothing and says nothing; bytes wait
	drop kind = "drop"    // the same, and bytes are lost
	slow kind = "slow"    // a link
)

// A fault is one of a schedule's.
type fault struct {
	kind   kind
	target int // a node for kill and stop, else a link
	at     time.Duration
	lasts  time.Duration
	ways   []int // the directions of hole, drop and slow
	rate   int   // bytes a second, of slow
}

func (f fault) onNode() bool { return f.kind == kill || f.kind == stop }

func (f fault) String() string {
	what := fmt.Sprintf("%v link %d %s", f.at, f.target, f.kind)
	if f.onNode() {
		what = fmt.Sprintf("%v node %d %s", f.at, f.target, f.kind)
	}
	return what + describe(f.ways, f.rate, f.lasts)
}

// describe returns the rest of what is said of a fault.
func describe(ways []int, rate int, lasts time.Duration) (what string) {
	if len(ways) == 1 {
		what += []string{" to who was dialled", " to who dials"}[ways[0]]
	}
	if rate > 0 {
		what += fmt.Sprintf(" %d bytes/s", rate)
	}
	return what + fmt.Sprintf(" for %v", lasts)
}

// A schedule is all that a run is: the same seed makes the same one.
type schedule struct {
	seed    uint64
	shape   *shape
	network string
	grace   time.Duration // of the links; 0 is limpetd's own, longer than any fault
	faults  []fault       // by their times
}

func (s *schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s over %s, grace %v", s.seed, s.shape.name, s.network, s.grace)
	for _, f := range s.faults {
		fmt.Fprintf(&b, "\n\t%v", f)
	}
	return b.String()
}

// longerThanNoticed is longer than a daemon takes to notice that a link is dead.
const longerThanNoticed = 17 * time.Second

// newSchedule makes the schedule of a seed. A deep one has a fault that is noticed
// only by its silence, and takes half a minute.
func newSchedule(seed uint64, deep bool) *schedule {
	r := rand.New(rand.NewPCG(seed, 8))
	s := &schedule{seed: seed, shape: shapes[r.IntN(len(shapes))], network: []string{"tcp", "unix"}[r.IntN(2)]}
	if r.IntN(2) == 0 {
		s.grace = 500 * time.Millisecond
	}
	between := func(low, high int) time.Duration { return time.Duration(low+r.IntN(high-low)) * time.Millisecond }
	busy := make(map[[2]int]time.Duration) // by kind of target and target
	at := between(0, 200)
	for range 6 + r.IntN(7) {
		f := fault{kind: []kind{kill, stop, fin, rst, hole, drop, slow}[r.IntN(7)], at: at}
		switch f.kind {
		case kill:
			f.lasts = between(0, 600)
		case stop:
			f.lasts = between(50, 1200)
		case fin, rst:
			f.lasts = between(0, 700)
		case hole, drop:
			f.lasts = between(50, 1000)
		case slow:
			f.lasts, f.rate = between(300, 1200), 2000+r.IntN(18000)
		default: // none of a link's
		}
		if f.kind == hole || f.kind == drop || f.kind == slow {
			f.ways = [][]int{{toBack}, {toFront}, {toBack, toFront}}[r.IntN(3)]
		}
		place := [2]int{0, r.IntN(len(s.shape.links))}
		if f.onNode() {
			place = [2]int{1, r.IntN(s.shape.nodes)}
		}
		f.target = place[1]
		if deep && len(s.faults) == 0 {
			f.lasts = longerThanNoticed
		}
		if busy[place] < f.at { // else it still has another
			busy[place] = f.at + f.lasts
			s.faults = append(s.faults, f)
		}
		at += between(50, 500)
	}
	return s
}

// A seed always makes the same schedule, its faults on one target do not overlap,
// and all kinds and shapes come about.
func TestSeedsMakeSchedules(t *testing.T) {
	kinds := make(map[kind]bool)
	made := make(map[*shape]bool)
	for seed := range uint64(100) {
		s := newSchedule(seed, false)
		if again := newSchedule(seed, false); s.String() != again.String() {
			t.Errorf("seed %d makes\n%v\nand\n%v", seed, s, again)
		}
		made[s.shape] = true
		for i, f := range s.faults {
			kinds[f.kind] = true
			if slices.ContainsFunc(s.faults[:i], func(g fault) bool {
				return g.onNode() == f.onNode() && g.target == f.target && g.at+g.lasts >= f.at
			}) {
				t.Errorf("seed %d: %v begins while another lasts\n%v", seed, f, s)
			}
		}
	}
	if len(kinds) != 7 || len(made) != len(shapes) {
		t.Errorf("only %v and %v come about", kinds, made)
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		shape    *shape
		from, to int
		want     string
	}{
		{shapes[0], 0, 0, "[0] []"},
		{shapes[0], 1, 0, "[1 0] [0]"},
		{shapes[1], 0, 2, "[0 1 2] [0 1]"},
		{shapes[2], 3, 1, "[3 0 1] [2 0]"},
		{shapes[2], 0, 2, "[0 2] [1]"},
	} {
		if nodes, links := c.shape.path(c.from, c.to); fmt.Sprint(nodes, links) != c.want {
			t.Errorf("%s from %d to %d: %v %v, want %s", c.shape.name, c.from, c.to, nodes, links, c.want)
		}
	}
}
