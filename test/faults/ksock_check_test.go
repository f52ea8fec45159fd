package faults

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A fate is what became of something that a program posted or sent, as it was told.
type fate int

const (
	unknown  fate = iota // it was not told
	taken                // by the bus
	denied               // the bus has refused it
	neverPut             // Post has failed
	givenUp              // it may be sent or not, and nobody waits for it
)

// A saying is an announcement or a request of a program's.
type saying struct {
	note                 // what it wrote before
	number int           // among those of its Ksock
	fate   fate          //
	by     time.Duration // when the fate was known
	answer note          // that tells it
}

// check compares what the programs saw with what they were promised, and gives the broken
// promises. The run is over: nothing changes tr any more.
func (tr *ksockTrace) check() []string {
	bad := slices.Clone(tr.odd)
	for _, d := range tr.ksocks {
		bad = append(bad, tr.checkEnd(d)...)
		switch d.program[:1] {
		case listens:
			bad = append(bad, tr.checkHeard(d)...)
		case talks:
			bad = append(bad, checkNews(d)...)
		}
	}
	return append(bad, tr.checkCalls()...)
}

// checkEnd: a Ksock ends only if it was closed, or its program killed, or its daemon, or
// when a fault may have lasted longer than the grace. What is left of one that was closed is
// nothing.
func (tr *ksockTrace) checkEnd(d *ksockDiary) (bad []string) {
	say := func(format string, args ...any) { bad = append(bad, "Ksock "+d.name+": "+fmt.Sprintf(format, args...)) }
	opened, ended := d.find(hasOpened), d.ended()
	died := slices.ContainsFunc(tr.deaths, func(x ksockDeath) bool {
		return x.home == d.home && x.to > opened.Since && (ended == 0 || x.from < ended)
	})
	survived := slices.ContainsFunc(tr.deaths, func(x ksockDeath) bool { return x.home == d.home && x.from > opened.At && d.when(isClosed) > x.from })
	mayBeLost := tr.mayBeLost(d)
	over := d.find(isOver)
	switch {
	case ended == 0:
		say("it has no end")
	case over.What != "" && over.N != 1:
		say("it failed with %s, which is not net.ErrClosed", over.Word)
	case over.What != "" && !died && !mayBeLost:
		say("it is over although nothing lasted that long: %s", over.Word)
	case survived:
		say("it went on although its daemon died")
	case d.outlast && over.What == "" && d.when(willRetire) == 0 && d.killed == 0 && !died:
		say("it went on although the daemon had given it up")
	}
	owes := 0 // the debt of a reply that was refused stays
	for _, n := range d.notes {
		switch {
		case n.What == wasRefused && d.program[:1] == replies:
			owes++
		case n.What == hasLeft && n.Word == unreadMessages && n.N > 0, n.What == hasLeft && n.Word == unansweredRequests && n.N != owes:
			say("%d %s are left", n.N, n.Word)
		}
	}
	return bad
}

// said returns what a Ksock has said, announcements or requests, with the fates.
func (d *ksockDiary) said(what string) (all []*saying) {
	byKey := make(map[string]*saying)
	var posted []*saying
	quiet := false
	for _, n := range d.notes {
		s := byKey[n.Key]
		switch n.What {
		case isQuiet: // what follows is only there to be heard, if it is
			quiet = true
		case what:
			_, number, _ := strings.Cut(n.Key, ".")
			s = &saying{note: n}
			s.number, _ = strconv.Atoi(number)
			all = append(all, s)
			if quiet {
				continue
			}
			byKey[n.Key] = s
			posted = append(posted, s)
		case wasTaken, wasRefused, wasNotPosted, wasGivenUp:
			if s != nil {
				s.fate, s.by, s.answer = map[string]fate{wasTaken: taken, wasRefused: denied, wasNotPosted: neverPut, wasGivenUp: givenUp}[n.What], n.At, n
			}
		case hasFlushed:
			for _, s := range posted {
				if s.fate == unknown {
					s.fate, s.by = taken, n.At
				}
			}
			posted = nil
		}
	}
	return all
}

// checkNews: an announcement is refused only if it asks for that, or its time is over while
// it waits for room, or behind another that does.
func checkNews(d *ksockDiary) (bad []string) {
	for _, a := range d.said(willPost) {
		errno := a.answer.Word
		may := errno == "EBUSY" && a.Word == "ALL_OR_FAIL" || errno == "EAGAIN" && a.N == 1
		if a.fate == denied && !may {
			bad = append(bad, fmt.Sprintf("%s with %s was refused with %s", a.Key, a.Word, errno))
		}
	}
	return bad
}

// checkHeard: a listener has heard what each Ksock said in order and never twice; and
// everything that it had to hear, but for what was missed for want of room in its queue.
func (tr *ksockTrace) checkHeard(l *ksockDiary) (bad []string) {
	say := func(format string, args ...any) {
		bad = append(bad, "listener "+l.name+": "+fmt.Sprintf(format, args...))
	}
	heard := make(map[string][]note) // by Ksock
	for _, n := range l.notes {
		if n.What == hasHeard {
			heard[ksockOf(n.Key)] = append(heard[ksockOf(n.Key)], n)
		}
	}
	var lost []string // that only a full queue excuses
	may := tr.warmth  // have been missed
	for _, s := range tr.ksocks {
		if s.program[:1] != talks {
			continue
		}
		all := s.said(willPost)
		at, last := l.order(all, heard[s.name], say)
		delete(heard, s.name)
		for _, a := range all {
			if _, ok := at[a.Key]; ok || a.fate == denied || a.fate == neverPut {
				continue
			}
			if may++; !tr.hadToHear(l, s, a, last) {
				continue
			}
			if a.Word == "0" {
				lost = append(lost, a.Key)
			} else {
				say("%s with %s is lost", a.Key, a.Word)
			}
		}
	}
	for name := range heard {
		if !strings.HasPrefix(name, warmName) {
			say("it heard of Ksock %s, which there was not", name)
		}
	}
	switch missed := l.find(hasMissed); {
	case missed.What == "" && tr.briefs[l.program].Queue < queueLimit: // how many were missed is not known
	case missed.N < len(lost):
		say("%d are lost, it missed %d: %s", len(lost), missed.N, strings.Join(lost[:min(len(lost), 6)], " "))
	case missed.N > may:
		say("it missed %d of %d", missed.N, may)
	}
	return bad
}

// order looks at what a listener has heard of a Ksock, and returns when it heard each, and
// the highest number.
func (l *ksockDiary) order(all []*saying, heard []note, say func(string, ...any)) (at map[string]time.Duration, last int) {
	at = make(map[string]time.Duration)
	said := make(map[string]*saying, len(all))
	for _, a := range all {
		said[a.Key] = a
	}
	for _, n := range heard {
		a := said[n.Key]
		switch _, twice := at[n.Key]; {
		case a == nil:
			say("%s was never said", n.Key)
			continue
		case twice:
			say("%s was heard twice", n.Key)
		case a.number < last:
			say("%s was heard after number %d", n.Key, last)
		case a.fate == denied, a.fate == neverPut:
			say("%s was heard, but the bus refused it (%s %s)", n.Key, a.answer.What, a.answer.Word)
		}
		at[n.Key], last = n.At, max(last, a.number)
	}
	return at, last
}

// hadToHear reports whether a listener had to hear what a Ksock said, unless its queue was
// full; last is the number of the last that it heard of it.
func (tr *ksockTrace) hadToHear(l, s *ksockDiary, a *saying, last int) bool {
	if a.fate == givenUp || a.fate == unknown && (a.number > last || a.Word == "ALL_OR_FAIL") {
		return false
	}
	from := l.when(isReady)
	whole := l.when(isClosed) != 0 // it has heard all
	if l.home != s.home {
		// On a link what has no room anywhere is dropped; nothing comes before the far daemon
		// knows who listens; and what a daemon had not sent when it died is lost.
		from = tr.firstHeardSince(l, s)
		whole = whole && !slices.ContainsFunc(tr.deaths, func(x ksockDeath) bool { return x.home == s.home && x.to > a.At })
		if a.Word != "0" && !tr.roomOn(l.home) {
			return false
		}
	}
	if from == 0 || a.At <= from {
		return false
	}
	if end := l.ended(); !whole {
		return a.number < last
	} else if a.by > end {
		return false
	}
	return true
}

// firstHeardSince returns when a listener first heard anything from the daemon of s in that
// one's present life, 0 if it did not.
func (tr *ksockTrace) firstHeardSince(l, s *ksockDiary) (first time.Duration) {
	for _, other := range tr.ksocks {
		a, b := other.find(hasOpened), s.find(hasOpened)
		if other.home != s.home || tr.diedBetween(s.home, min(a.Since, b.Since), max(a.At, b.At)) {
			continue
		}
		for _, n := range l.notes {
			if n.What == hasHeard && ksockOf(n.Key) == other.name && (first == 0 || n.At < first) {
				first = n.At
			}
		}
	}
	return first
}

// mayBeLost reports whether a fault of a Ksock's stream may have lasted longer than the grace.
func (tr *ksockTrace) mayBeLost(d *ksockDiary) bool {
	return tr.touched[d.program] && (tr.grace < longGrace || tr.lenient)
}

// diedBetween reports whether a daemon died between two times.
func (tr *ksockTrace) diedBetween(home int, a, b time.Duration) bool {
	return slices.ContainsFunc(tr.deaths, func(x ksockDeath) bool { return x.home == home && x.to > a && x.from < b })
}

// roomOn reports whether every listener on a daemon's bus always has room.
func (tr *ksockTrace) roomOn(home int) bool {
	for name, b := range tr.briefs {
		if tr.homeOf[name] == home && name[:1] == listens && b.Queue < queueLimit {
			return false
		}
	}
	return true
}
