package faults

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// A ksockTrace is what the programs of one run wrote, and what was done to them.
type ksockTrace struct {
	homes   int           // daemons
	grace   time.Duration // of the programs' Ksocks
	lenient bool          // a fault lasts so long that even the longest grace may be over

	mu       sync.Mutex
	briefs   map[string]brief
	homeOf   map[string]int
	warmth   int // announcements of nobody's, to find out who hears
	ksocks   []*ksockDiary
	current  map[string]*ksockDiary   // the last one of each program
	killed   map[string]time.Duration // when processes were, whose last notes may come later
	touched  map[string]bool          // programs, by faults that may cost their Ksocks
	deaths   []ksockDeath
	odd      []string
	lastSign map[[2]string]time.Duration // what was heard or answered last, by whom and of whom
}

// A ksockDeath is the end of a daemon, which was done to it between two times.
type ksockDeath struct {
	home     int
	from, to time.Duration
}

// A ksockDiary is what was written of one Ksock.
type ksockDiary struct {
	name    string // the first note's key
	program string
	process int
	home    int
	notes   []note
	end     time.Duration // when it was over, closed or about to be; 0 if it was not
	killed  time.Duration // when its process was killed; 0 if it was not while the Ksock lived
	outlast bool          // its stream was cut until the daemon had given it up
}

func newKsockTrace() *ksockTrace {
	return &ksockTrace{
		briefs: make(map[string]brief), homeOf: make(map[string]int), current: make(map[string]*ksockDiary),
		killed: make(map[string]time.Duration), touched: make(map[string]bool), lastSign: make(map[[2]string]time.Duration),
	}
}

// knows adds a program.
func (tr *ksockTrace) knows(b brief, home int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.briefs[b.Name], tr.homeOf[b.Name] = b, home
}

// add takes a note of a program's.
func (tr *ksockTrace) add(p *process, number int, n note) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	name := p.brief.Name
	if n.What == hasOpened {
		d := &ksockDiary{name: n.Key, program: name, process: number, home: p.home, killed: tr.killed[processOf(p, number)]}
		tr.ksocks = append(tr.ksocks, d)
		tr.current[name] = d
	}
	d := tr.current[name]
	if d == nil {
		tr.strangeLocked(name + " writes before it has a Ksock")
		return
	}
	if n.What == isOdd {
		tr.strangeLocked(n.Word)
		return
	}
	d.notes = append(d.notes, n)
	d.notice(n)
	switch n.What {
	case hasHeard:
		tr.sign(name, senderOf(n.Key), n.At)
	case hasReply:
		if n.Key != "" {
			tr.sign(name, programOf(n.Word), n.At)
		}
	}
}

func (tr *ksockTrace) sign(by, of string, at time.Duration) { tr.lastSign[[2]string{by, of}] = at }

func processOf(p *process, number int) string { return fmt.Sprintf("%sg%d", p.brief.Name, number) }

// signed reports whether a program has heard, or been answered by, another since a time.
func (tr *ksockTrace) signed(by, of string, since time.Duration) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	at, ok := tr.lastSign[[2]string{by, of}]
	return ok && at >= since
}

// warmName begins the names of the senders of what finds out who hears.
const warmName = "warm"

func (tr *ksockTrace) warms() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.warmth++
}

// outlasted notes that the daemon has closed a Ksock.
func (tr *ksockTrace) outlasted(d *ksockDiary) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	d.outlast = true
}

// lastWords returns the listeners that have heard nothing that a talker has said when it was
// quiet.
func (tr *ksockTrace) lastWords() (missing []string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for talker, d := range tr.current {
		if talker[:1] != talks {
			continue
		}
		quiet := slices.IndexFunc(d.notes, func(n note) bool { return n.What == isQuiet })
		for listener, l := range tr.current {
			if listener[:1] == listens && (quiet < 0 || !l.hasHeardOneOf(d.notes[quiet:])) {
				missing = append(missing, listener+" has not heard the last words of "+d.name)
			}
		}
	}
	return missing
}

// hasHeardOneOf reports whether one of some announcements was heard lately.
func (d *ksockDiary) hasHeardOneOf(said []note) bool {
	return slices.ContainsFunc(d.notes[max(0, len(d.notes)-20):], func(h note) bool {
		return h.What == hasHeard && slices.ContainsFunc(said, func(n note) bool { return n.What == willPost && n.Key == h.Key })
	})
}

// kills notes that a process is about to be killed.
func (tr *ksockTrace) kills(p *process, number int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.killed[processOf(p, number)] = now()
	if d := tr.current[p.brief.Name]; d != nil && d.process == number && d.ended() == 0 {
		d.killed = now()
	}
}

// touches notes a fault that may cost a program its Ksock, if the grace is short.
func (tr *ksockTrace) touches(program string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.touched[program] = true
}

// death notes that a daemon is about to end, and returns what notes that it has.
func (tr *ksockTrace) death(home int) (over func()) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	i := len(tr.deaths)
	tr.deaths = append(tr.deaths, ksockDeath{home, now(), forever})
	return func() {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.deaths[i].to = now()
	}
}

func (tr *ksockTrace) strange(what string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.strangeLocked(what)
}

func (tr *ksockTrace) strangeLocked(what string) {
	if len(tr.odd) < 20 {
		tr.odd = append(tr.odd, what)
	}
}

// has reports whether the present Ksock of a program has a note.
func (tr *ksockTrace) has(program, what string) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	d := tr.current[program]
	return d != nil && d.ended() == 0 && d.when(what) != 0
}

// present returns the Ksock of a program that lives as far as is known, nil if there is none.
func (tr *ksockTrace) present(program string) *ksockDiary {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if d := tr.current[program]; d != nil && d.ended() == 0 && d.when(isReady) != 0 {
		return d
	}
	return nil
}

// find returns the first note that says something; it is empty if none does.
func (d *ksockDiary) find(what string) note {
	if i := slices.IndexFunc(d.notes, func(n note) bool { return n.What == what }); i >= 0 {
		return d.notes[i]
	}
	return note{}
}

// when returns when a note was first written, 0 if it was not.
func (d *ksockDiary) when(what string) time.Duration { return d.find(what).At }

// ended returns when the Ksock was over, closed, or killed; 0 if it was not.
func (d *ksockDiary) ended() time.Duration {
	if d.killed != 0 {
		return d.killed
	}
	return d.end
}

// notice looks whether a note is of the Ksock's end.
func (d *ksockDiary) notice(n note) {
	if d.end == 0 && (n.What == isOver || n.What == isClosed || n.What == willRetire) {
		d.end = n.At
	}
}

// senderOf returns the program that has sent the message of a key.
func senderOf(key string) string { return programOf(ksockOf(key)) }
