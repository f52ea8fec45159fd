package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Faults of programs' schedules, beside those of links: kill and stop hit a program or a
// daemon, the others the cable between the two, or that of the link between two daemons.
const (
	term    kind = "SIGTERM" // a daemon; it is started again when the fault is over
	outlast kind = "outlast" // a FIN that lasts until the daemon has given the Ksock up
	flap    kind = "flap"    // RST again and again, and it can be dialled at once
)

// A ksockFault is one of a schedule's.
type ksockFault struct {
	fault
	daemon  bool   // is hit, target says which
	program string // is hit, or its cable; if it is empty too, the link
}

func (f ksockFault) String() string {
	what := fmt.Sprintf("%v program %s %s", f.at, f.program, f.kind)
	switch {
	case f.daemon:
		what = fmt.Sprintf("%v daemon %d %s", f.at, f.target, f.kind)
	case f.program == "":
		what = fmt.Sprintf("%v link %s", f.at, f.kind)
	}
	return what + describe(f.ways, f.rate, f.lasts)
}

// A ksockSchedule is all that a run of programs is: the same seed makes the same one.
type ksockSchedule struct {
	seed     uint64
	homes    int    // daemons; two are linked
	network  string // of the programs' streams, and of the link
	grace    time.Duration
	interest string
	deep     bool
	programs []brief
	home     []int // the daemon of each program
	faults   []ksockFault
}

// The graces of programs.
const (
	noGrace    = time.Duration(0)
	shortGrace = 300 * time.Millisecond
	longGrace  = 10 * time.Second // longer than any fault, and limpetd's own
)

func (s *ksockSchedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d daemons over %s, program grace %v, interest %s", s.seed, s.homes, s.network, s.grace, s.interest)
	for i, p := range s.programs {
		fmt.Fprintf(&b, "\n\t%s on daemon %d: queue %d, reads %s, slow %v, loud %v, leaves %v", p.Name, s.home[i], p.Queue, p.Reads, p.Slow, p.Loud, p.Leaves)
	}
	for _, f := range s.faults {
		fmt.Fprintf(&b, "\n\t%v", f)
	}
	return b.String()
}

// newKsockSchedule makes the schedule of a seed. A deep one has a fault that is noticed only
// by its silence, and takes half a minute.
func newKsockSchedule(seed uint64, deep bool) *ksockSchedule {
	r := rand.New(rand.NewPCG(seed, 11))
	s := &ksockSchedule{
		seed: seed, homes: 1 + one(r.IntN(5) < 2), network: []string{"tcp", "unix"}[r.IntN(2)], deep: deep,
		grace:    []time.Duration{longGrace, longGrace, longGrace, shortGrace, shortGrace, shortGrace, shortGrace, noGrace}[r.IntN(8)],
		interest: []string{"on", "off"}[r.IntN(2)],
	}
	s.populate(r)
	between := func(low, high int) time.Duration { return time.Duration(low+r.IntN(high-low)) * time.Millisecond }
	busy := make(map[string]time.Duration) // by target
	at := between(0, 200)
	for range 5 + r.IntN(6) {
		f := ksockFault{fault: fault{kind: []kind{kill, stop, stop, fin, rst, hole, drop, slow, outlast, term, flap, flap}[r.IntN(12)], at: at}}
		i := r.IntN(len(s.programs))
		f.program = s.programs[i].Name
		if f.daemon = f.kind == term || f.kind == kill && r.IntN(3) == 0 || f.kind == stop && r.IntN(3) == 0; f.daemon {
			f.program, f.target = "", r.IntN(s.homes)
		}
		if s.homes > 1 && r.IntN(5) == 0 && !f.daemon && !deep && f.kind != kill && f.kind != stop && f.kind != outlast {
			f.program = ""
		}
		switch {
		case s.grace == longGrace && f.kind == outlast, s.grace == longGrace && f.kind == kill && !f.daemon && !deep:
			f.kind = fin // to wait for this grace takes too long
		}
		switch f.kind {
		case kill, term:
			f.lasts = between(0, 500)
		case stop:
			f.lasts = between(50, 1000)
		case fin, rst:
			f.lasts = between(0, 700)
		case hole, drop:
			f.lasts = between(50, 800)
		case flap:
			f.lasts = between(100, 1000)
		case slow:
			f.lasts, f.rate = between(300, 1000), 2000+r.IntN(18000)
		default: // outlast has its own end
		}
		if f.kind == hole || f.kind == drop || f.kind == slow {
			f.ways = [][]int{{toBack}, {toFront}, {toBack, toFront}}[r.IntN(3)]
		}
		if deep && len(s.faults) == 0 {
			f.lasts = longerThanNoticed
		}
		target := f.program
		if f.daemon {
			target = fmt.Sprint(f.target)
		}
		if f.kind == outlast && busy[fmt.Sprint(s.home[i])] >= f.at {
			continue // a daemon that does not run gives nothing up
		}
		if busy[target] < f.at { // else it still has another
			busy[target] = f.at + f.lasts
			s.faults = append(s.faults, f)
		}
		at += between(50, 400)
	}
	return s
}

// populate makes two talkers, two listeners and two repliers, on either daemon.
func (s *ksockSchedule) populate(r *rand.Rand) {
	for _, role := range []string{listens, replies, talks} {
		for i := range 2 {
			b := brief{
				Name: fmt.Sprint(role, i), Seed: s.seed, Queue: 1000,
				Reads: waysToRead[r.IntN(len(waysToRead))], Slow: r.IntN(2) == 0, Leaves: r.IntN(4) == 0,
			}
			if role == replies && s.grace == longGrace {
				b.Leaves = false // closed while its stream is cut, it keeps the name for that long
			}
			switch {
			case role == listens:
				b.Queue = []uint32{4, 20, queueLimit}[r.IntN(3)]
			case r.IntN(3) == 0:
				b.Queue = 5
			}
			if role == talks {
				b.Loud = r.IntN(4) == 0
				b.Targets = []string{replies + "0", replies + "1"}
			}
			s.programs = append(s.programs, b)
			s.home = append(s.home, (i+r.IntN(2))%s.homes)
		}
	}
}

// A seed always makes the same schedule, its faults on one target do not overlap, and
// everything that they may have comes about.
func TestSeedsMakeKsockSchedules(t *testing.T) {
	came := make(map[string]bool)
	for seed := range uint64(300) {
		s := newKsockSchedule(seed, false)
		if again := newKsockSchedule(seed, false); s.String() != again.String() {
			t.Errorf("seed %d makes\n%v\nand\n%v", seed, s, again)
		}
		came[fmt.Sprint(s.homes, "daemons")] = true
		came[fmt.Sprint("grace ", s.grace)] = true
		for i, f := range s.faults {
			came[fmt.Sprint(f.kind, f.daemon, f.program == "")] = true
			if slices.ContainsFunc(s.faults[:i], func(g ksockFault) bool {
				return g.daemon == f.daemon && g.target == f.target && g.program == f.program && g.at+g.lasts >= f.at
			}) {
				t.Errorf("seed %d: %v begins while another lasts\n%v", seed, f, s)
			}
		}
	}
	// Kill and stop of programs and daemons, term, outlast, and six kinds of two cables.
	if want := 2 + 3 + 4 + 1 + 1 + 12; len(came) != want {
		t.Errorf("%d things come about, not %d: %v", len(came), want, came)
	}
}
