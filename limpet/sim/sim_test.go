package sim_test

import (
	"flag"
	"hash/fnv"
	"io"
	"os"
	"testing"

	"github.com/kbus-limpet/limpet/limpet/sim"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run this seed only, with a trace if -v is given")
	seeds   = flag.Uint64("seeds", 0, "run so many seeds; 0 is 100, 50 with -short, or 1 000 with LIMPET_TEST=long")
	first   = flag.Uint64("first", 1, "the first of these seeds")
)

// Every seed is a network of its own, with faults and programs of its own.
func TestSeeds(t *testing.T) {
	n := *seeds
	if n == 0 {
		switch n = 100; {
		case os.Getenv("LIMPET_TEST") == "long":
			n = 1000
		case testing.Short(): // in one thread the race detector has nothing to find
			n = 50
		}
	}
	all := sim.Stats{Ended: make(map[string]uint64), Answers: make(map[string]int)}
	for seed := *first; seed < *first+n; seed++ {
		s := run(t, seed, nil)
		all.Steps += s.Steps
		all.Frames += s.Frames
		all.Streams += s.Streams
		all.Epochs += s.Epochs
		all.Restarts += s.Restarts
		all.Refused += s.Refused
		all.Drains += s.Drains
		all.Quiet += s.Quiet
		all.Spoiled += s.Spoiled
		all.Resyncs += s.Resyncs
		all.Reloaded += s.Reloaded
		all.Requests += s.Requests
		all.Answered += s.Answered
		all.Announced += s.Announced
		all.MustHear += s.MustHear
		all.Heard += s.Heard
		for why, n := range s.Ended {
			all.Ended[why] += n
		}
		for name, n := range s.Answers {
			all.Answers[name] += n
		}
	}
	t.Logf("%d seeds: %+v", n, all)
}

// One seed again, with everything that happens: -run Seed$ -seed 17 -v.
func TestSeed(t *testing.T) {
	if *oneSeed == 0 {
		t.Skip("no -seed is given")
	}
	var trace io.Writer
	if testing.Verbose() {
		trace = t.Output()
	}
	run(t, *oneSeed, trace)
}

func run(t *testing.T, seed uint64, trace io.Writer) sim.Stats {
	t.Helper()
	w := sim.New(seed, trace)
	for _, wrong := range w.Run() {
		t.Errorf("seed %d: %s", seed, wrong)
	}
	return w.Stats()
}

// Seeds that have failed, and what for.
func TestSeedsThatFailed(t *testing.T) {
	for seed, why := range map[uint64]string{
		5191: "what a limpet's closed Ksock had sent was taken for a program's, and its old ids for new ones",
		5272: "ids of a restarted daemon that came late over two links stood in the way of new ones",
		192:  "ids of a restarted daemon that its old epoch had in hand stood in the way of new ones",
	} {
		t.Run(why, func(t *testing.T) { run(t, seed, nil) })
	}
}

// A seed decides everything: the same one makes the same trace.
func TestSameSeedSameRun(t *testing.T) {
	for seed := range uint64(20) {
		a, b := fnv.New64a(), fnv.New64a()
		sim.New(seed, a).Run()
		sim.New(seed, b).Run()
		if a.Sum64() != b.Sum64() {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}
