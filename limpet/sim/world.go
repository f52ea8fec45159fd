package sim

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/record"
	"github.com/kbus-limpet/limpet/limpet/table"
)

var sprintf = fmt.Sprintf

// config is what a seed makes of a run.
type config struct {
	nodes         int
	star          bool // the first node is linked with all others; else they are a chain
	upkeep        bool // links and daemons are drained, tables are spoiled
	digestEvery   time.Duration
	interest      bool
	narrows       bool // limpets listen to what is wanted only
	amends        bool // daemons tell what has changed behind them, not all
	limpet        limpet.Config
	limpetQueue   uint32
	listenerQueue uint32
	askerQueue    uint32
	trouble       time.Duration // how long there are faults
	faultEvery    time.Duration
	restarts      bool
	asksEvery     time.Duration
	rules         bool          // peers may not do everything
	reloads       bool          // and that changes
	renames       bool          // names differ from bus to bus
	longest       time.Duration // of a fault
}

// A World is a network of buses under a seed.
type World struct {
	clock
	cfg    config
	rng    *rand.Rand
	nodes  []*node
	wires  []*wire
	out    io.Writer
	record func(link string) record.Sink // nil records nothing
	faults []string                      // what is wrong
	start  time.Time

	reloaded               int
	epochsBegun, mustHear  int
	streams, epochsEnded   int
	restarts, refused      int
	drains, quiet, spoiled int
	frames, steps          int
	lastEnd                time.Time // of an epoch
	healed                 bool
	linkedAt               time.Time // when all daemons were linked for the first time
	lost                   bool      // something was dropped that may be missed

	tapped tapped
	programs
}

// New returns the world that a seed makes. Every step is written to trace, unless that
// is nil.
func New(seed uint64, trace io.Writer) *World { return NewRecorded(seed, trace, nil) }

// NewRecorded is New, with the decisions of each epoch recorded in what sink returns, unless
// that is nil.
func NewRecorded(seed uint64, trace io.Writer, sink func(link string) record.Sink) *World {
	w := &World{rng: rand.New(rand.NewPCG(seed, 8)), out: trace, record: sink}
	w.now = time.Unix(1e9, 0)
	w.start = w.now
	w.configure(seed)
	if seed%3 == 0 {
		w.tapped.look()
	}
	w.build(func(i int) int {
		if w.cfg.star {
			return 0
		}
		return i
	})
	if w.cfg.renames {
		w.makeRenames()
	}
	w.populate()
	if w.cfg.rules {
		w.makeRules()
	}
	w.trouble()
	return w
}

// build makes the daemons, and links each but the first with one of those before it, which
// nearer says.
func (w *World) build(nearer func(i int) int) {
	for i := range w.cfg.nodes {
		n := &node{w: w, network: uint32(i + 1), bus: membus.New()}
		if w.chance(4) {
			n.slow = w.upTo(20 * time.Millisecond)
		}
		n.start()
		w.nodes = append(w.nodes, n)
	}
	for i := range w.cfg.nodes - 1 {
		x := &wire{w: w, source: table.Source(i + 1), delay: w.upTo(w.upTo(100 * time.Millisecond))}
		pair := [2]*node{w.nodes[nearer(i)], w.nodes[i+1]}
		if w.chance(2) {
			pair[0], pair[1] = pair[1], pair[0]
		}
		for side, n := range pair {
			p := &peering{n: n, wire: x, side: side}
			x.ends[side] = p
			n.peerings = append(n.peerings, p)
		}
		x.dialler = task{w: w, who: &pair[0].machine, run: x.dial}
		w.wires = append(w.wires, x)
		x.dialler.wake()
	}
}

// configure makes the configuration. One seed in four has a star, one in two upkeep, one in
// five rules, one in six renames.
func (w *World) configure(seed uint64) {
	pick := func(n ...int) int { return n[w.rng.IntN(len(n))] }
	window := uint32(pick(4, 16, 64, 1000, 16384))
	w.cfg = config{
		nodes:    pick(2, 2, 3),
		interest: w.chance(2),
		limpet: limpet.Config{
			Pattern:        "$.*",
			MaxMessages:    uint32(pick(200, 1000, 65536)),
			Grace:          30 * time.Second,
			RequestHold:    5 * time.Second,
			StallTimeout:   5 * time.Second,
			WaitTimeout:    time.Second,
			DrainTimeout:   5 * time.Second,
			Forget:         10 * time.Minute,
			WindowMessages: window,
			WindowBytes:    uint64(pick(2000, 100000, 16<<20)),
		},
		listenerQueue: uint32(pick(20, 1000, 100000)),
		askerQueue:    uint32(pick(5, 100, 1000)),
		trouble:       time.Duration(pick(5, 15, 40)) * time.Second,
		faultEvery:    time.Duration(pick(300, 1000, 4000)) * time.Millisecond,
		restarts:      w.chance(2),
		longest:       time.Duration(pick(1, 6, 20)) * time.Second,
		asksEvery:     time.Duration(pick(5, 20, 100, 500)) * time.Millisecond,
	}
	w.cfg.narrows, w.cfg.amends = seed%3 > 0, seed%5 > 0
	// A run is to cost some ten thousand steps.
	w.cfg.asksEvery = max(w.cfg.asksEvery, w.cfg.trouble/200)
	w.cfg.limpetQueue = w.cfg.limpet.MaxMessages
	if w.cfg.star = seed%4 == 1; w.cfg.star {
		w.cfg.nodes = 4
		w.cfg.asksEvery *= 3
	}
	if w.cfg.upkeep = seed%4 == 1 || seed%4 == 2; w.cfg.upkeep {
		w.cfg.digestEvery = time.Duration(pick(200, 1000, 3000)) * time.Millisecond
	}
	if w.cfg.rules = seed%5 == 4; w.cfg.rules {
		w.cfg.reloads = seed%2 == 0
	}
	w.cfg.renames = seed%6 == 3
}

// chance reports true once in n times.
func (w *World) chance(n int) bool { return w.rng.IntN(n) == 0 }

// upTo returns a duration of at most d.
func (w *World) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }

// jitter returns how long a step of a machine waits.
func (w *World) jitter(m *machine) time.Duration {
	d := m.slow
	switch r := w.rng.IntN(100); {
	case r < 70:
		d += w.upTo(100 * time.Microsecond)
	case r < 97:
		d += w.upTo(2 * time.Millisecond)
	default:
		d += w.upTo(50 * time.Millisecond)
	}
	return d
}

func (w *World) randomID() (id [16]byte) {
	binary.LittleEndian.PutUint64(id[:], w.rng.Uint64())
	binary.LittleEndian.PutUint64(id[8:], w.rng.Uint64())
	return id
}

// tracef writes what happens.
func (w *World) tracef(format string, args ...any) {
	if w.out == nil {
		return
	}
	line := fmt.Sprintf("%12.6f ", w.now.Sub(w.start).Seconds()) + fmt.Sprintf(format, args...) + "\n"
	_, _ = io.WriteString(w.out, line)
}

// linked notes when all daemons are linked for the first time.
func (w *World) linked() {
	if !w.linkedAt.IsZero() {
		return
	}
	for _, x := range w.wires {
		for _, p := range x.ends {
			if p.stream == nil {
				return
			}
		}
	}
	w.linkedAt = w.now
}

// wrong notes what must not be.
func (w *World) wrong(format string, args ...any) {
	line := fmt.Sprintf("%.6f: ", w.now.Sub(w.start).Seconds()) + fmt.Sprintf(format, args...)
	w.tracef("WRONG: %s", line)
	if len(w.faults) < 20 {
		w.faults = append(w.faults, line)
	}
}

// Run runs the world: a time of trouble, then a time to come to rest. It returns what is
// wrong.
func (w *World) Run() []string {
	w.runTo(w.start.Add(w.cfg.trouble))
	w.heal()
	w.runTo(w.now.Add(rest))
	w.judge()
	return w.faults
}

// Stats say how much a run has covered.
type Stats struct {
	Steps, Frames, Streams, Epochs, Restarts, Refused int
	// Drains are of daemons and links, Quiet the links that were drained to the end;
	// Spoiled are wrong digests and bind events, Resyncs the tables that were told again,
	// but for those to daemons that have ended.
	Drains, Quiet, Spoiled, Resyncs int
	// Requests were sent; Answered have a reply of a replier.
	Requests, Answered int
	// Reloaded counts the changes of what a peer may do.
	Reloaded int
	// Announced is how many announcements there were, MustHear how many copies were
	// looked for, and Heard how many were heard.
	Announced, MustHear, Heard int
	// Ended counts messages by why they ended, over all limpets that were not killed.
	Ended map[string]uint64
	// Answers counts the answers by name; those of repliers are "".
	Answers map[string]int
}

// Stats returns what the run has covered.
func (w *World) Stats() Stats {
	s := Stats{
		Steps: w.steps, Frames: w.frames, Streams: w.streams, Epochs: w.epochsBegun, Restarts: w.restarts, Refused: w.refused,
		Drains: w.drains, Quiet: w.quiet, Spoiled: w.spoiled, Reloaded: w.reloaded, Requests: len(w.requests), Announced: len(w.news), MustHear: w.mustHear,
	}
	s.Ended, s.Answers = make(map[string]uint64), make(map[string]int)
	for _, q := range w.requests {
		if q.answer == q.name {
			s.Answered++
			s.Answers[""]++
		} else {
			s.Answers[q.answer]++
		}
	}
	for _, n := range w.nodes {
		for _, p := range n.peerings {
			c := p.counts()
			s.Resyncs += int(c.Resyncs)
			for why, n := range c.FromBusEnded {
				s.Ended[why] += n
			}
			for why, n := range c.FromPeerEnded {
				s.Ended[why] += n
			}
		}
	}
	for _, l := range w.listeners {
		s.Heard += len(l.heard)
	}
	return s
}

// rest is how long everything may take to come to rest after the last fault.
const rest = 20 * time.Second

func (w *World) runTo(end time.Time) {
	for len(w.faults) == 0 && w.step(end) {
		w.steps++
	}
}
