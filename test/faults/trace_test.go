package faults

import (
	"slices"
	"sync"
	"time"
)

// A trace is what the programs of one run saw. Times are since its start.
type trace struct {
	began time.Time

	mu      sync.Mutex
	sent    []*announcement
	heard   map[ear][]hearing
	calls   []*call
	runs    map[string][]int // who read a request, by its key
	outages []outage
	kills   []death
	settled []time.Duration // when all was seen to work
	odd     []string        // what should not happen at all

	// Progress, for those who wait: when the latest that was heard was sent, by
	// sender and listener; when the latest that was answered was asked.
	lastHeard    map[[2]int]time.Duration
	lastAnswered map[[2]int]time.Duration
}

// An announcement is one that a sender sent. Its number is its place among all.
type announcement struct {
	sender     int // a node
	start, end time.Duration
	accepted   bool // the bus has it; else that is not known
}

// An ear is one stream of a listener, which ends with its daemon.
type ear struct{ node, stream int }

// A hearing is an announcement heard.
type hearing struct {
	number int
	at     time.Duration
}

// A call is a request that a program asked.
type call struct {
	key           string
	asker, target int
	start, end    time.Duration
	what          outcome
	word          string // the reply's name or data, or the error
}

// An outcome is how a call ended.
type outcome int

const (
	open       outcome = iota // it has not
	answered                  // by a replier
	failed                    // by a bus or limpet, whose word is the reply's name
	refused                   // its own bus did not take it
	orphaned                  // its own daemon was killed
	unanswered                // anything else
)

// An outage is a fault that may lose announcements which pass a node or a link.
type outage struct {
	node, link int // -1 is none
	from, to   time.Duration
	drain      bool          // the node was told to stop: it lets open requests finish
	stopped    time.Duration // when a drain was over
}

func newTrace() *trace {
	return &trace{
		began: time.Now(), heard: make(map[ear][]hearing), runs: make(map[string][]int),
		lastHeard: make(map[[2]int]time.Duration), lastAnswered: make(map[[2]int]time.Duration),
	}
}

func (tr *trace) now() time.Duration { return time.Since(tr.began) }

// sending notes that an announcement is about to be sent, and gives its number.
func (tr *trace) sending(sender int) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.sent = append(tr.sent, &announcement{sender: sender, start: tr.now()})
	return len(tr.sent) - 1
}

func (tr *trace) accepted(number int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.sent[number].end, tr.sent[number].accepted = tr.now(), true
}

func (tr *trace) hears(e ear, number int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.heard[e] = append(tr.heard[e], hearing{number, tr.now()})
	if number < len(tr.sent) {
		a := tr.sent[number]
		tr.lastHeard[[2]int{a.sender, e.node}] = max(tr.lastHeard[[2]int{a.sender, e.node}], a.start)
	}
}

func (tr *trace) calling(c *call) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	c.start = tr.now()
	tr.calls = append(tr.calls, c)
}

func (tr *trace) called(c *call, what outcome, word string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	c.end, c.what, c.word = tr.now(), what, word
	if what == answered {
		tr.lastAnswered[[2]int{c.asker, c.target}] = max(tr.lastAnswered[[2]int{c.asker, c.target}], c.start)
	}
}

func (tr *trace) ran(key string, replier int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.runs[key] = append(tr.runs[key], replier)
}

// A death is when a node was killed.
type death struct {
	node int
	at   time.Duration
}

func (tr *trace) killed(node int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.kills = append(tr.kills, death{node, tr.now()})
}

// outage notes the beginning of one, and gives what notes its end.
func (tr *trace) outage(node, link int) (over func()) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	i := len(tr.outages)
	tr.outages = append(tr.outages, outage{node: node, link: link, from: tr.now(), to: forever})
	return func() {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.outages[i].to = tr.now()
	}
}

// drain notes that a node is about to be told to stop, and gives what notes that it has.
func (tr *trace) drain(node int) (over func()) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	i := len(tr.outages)
	tr.outages = append(tr.outages, outage{node: node, link: -1, from: tr.now(), to: forever, drain: true, stopped: forever})
	return func() {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.outages[i].stopped = tr.now()
	}
}

const forever = time.Duration(1<<63 - 1)

func (tr *trace) strange(what string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.odd) < 20 {
		tr.odd = append(tr.odd, what)
	}
}

// settle notes that all works from mark on; outages that had no end end there.
func (tr *trace) settle(mark time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for i := range tr.outages {
		tr.outages[i].to = min(tr.outages[i].to, mark)
	}
	tr.settled = append(tr.settled, mark)
}

// worksSince reports whether every listener has heard every sender, and every asker
// had a reply from every other node's replier, sent and asked after mark.
func (tr *trace) worksSince(nodes int, mark time.Duration) (missing [][2]int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for a := range nodes {
		for b := range nodes {
			if tr.lastHeard[[2]int{a, b}] < mark || a != b && tr.lastAnswered[[2]int{a, b}] < mark {
				missing = append(missing, [2]int{a, b})
			}
		}
	}
	return missing
}

// counts gives how many calls ended in each way.
func (tr *trace) counts() map[string]int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := make(map[string]int)
	for _, c := range tr.calls {
		switch c.what {
		case answered:
			n["answered"]++
		case orphaned:
			n["orphaned"]++
		default:
			n[c.word]++
		}
	}
	return n
}

// windows gives the times from settled[0] to end without an outage on a path.
func (tr *trace) windows(path []int, links []int, end time.Duration) [][2]time.Duration {
	var out []outage
	for _, o := range tr.outages {
		if slices.Contains(path, o.node) || slices.Contains(links, o.link) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b outage) int { return int(a.from - b.from) })
	var free [][2]time.Duration
	from := tr.settled[0]
	for _, o := range out {
		if o.from > from {
			free = append(free, [2]time.Duration{from, o.from})
		}
		from = max(from, o.to)
	}
	if from < end {
		free = append(free, [2]time.Duration{from, end})
	}
	return free
}

// lastOnesHeard reports whether every listener has heard the last that each sender
// sent.
func (tr *trace) lastOnesHeard(nodes int) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	last := make(map[int]time.Duration)
	for _, a := range tr.sent {
		if a.accepted {
			last[a.sender] = a.start
		}
	}
	for sender, at := range last {
		for listener := range nodes {
			if tr.lastHeard[[2]int{sender, listener}] < at {
				return false
			}
		}
	}
	return true
}
