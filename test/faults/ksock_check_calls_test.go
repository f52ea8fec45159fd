package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// An execution is that a replier has read a request.
type execution struct {
	by *ksockDiary
	at time.Duration
}

// checkCalls: a request has exactly one reply, from a Ksock that may have it; and what was
// said of it is what its repliers know.
func (tr *ksockTrace) checkCalls() (bad []string) {
	runs := make(map[string][]execution)
	for _, d := range tr.ksocks {
		for _, n := range d.notes {
			if n.What == hasRun {
				runs[n.Key] = append(runs[n.Key], execution{d, n.At})
			}
		}
	}
	for _, d := range tr.ksocks {
		bad = append(bad, tr.checkCallsOf(d, runs)...)
		bad = append(bad, tr.checkAnswers(d)...)
	}
	for key := range runs {
		bad = append(bad, "request "+key+" was never asked, but ran")
	}
	return bad
}

// checkCallsOf checks the requests of one Ksock, and takes them out of runs.
func (tr *ksockTrace) checkCallsOf(d *ksockDiary, runs map[string][]execution) (bad []string) {
	byID := make(map[kbusdev.MsgID][]note)
	byKey := make(map[string][]note)
	for _, n := range d.notes {
		switch {
		case n.What != hasReply:
		case n.Key != "":
			byKey[n.Key] = append(byKey[n.Key], n)
		default:
			byID[n.ID] = append(byID[n.ID], n)
		}
	}
	open := 0       // requests that were posted and taken, and no replier answered
	unknownIDs := 0 // requests that were sent, the ids of which are not known
	for _, q := range d.said(willAsk) {
		ran := runs[q.Key]
		delete(runs, q.Key)
		answers := byKey[q.Key]
		delete(byKey, q.Key)
		if q.N == 0 && q.fate == taken {
			answers = append(answers, byID[q.answer.ID]...)
			delete(byID, q.answer.ID)
		}
		say := func(format string, args ...any) {
			bad = append(bad, fmt.Sprintf("request %s of %s: ", q.Key, q.Word)+fmt.Sprintf(format, args...))
		}
		tr.checkRuns(q, ran, say)
		switch {
		case len(answers) > 1:
			say("it has %d replies: %v", len(answers), answers)
		case len(answers) == 1:
			tr.checkReply(d, q, ran, answers[0], say)
		case q.fate == denied:
			tr.checkRefusal(d, q, say)
		case q.fate == unknown && q.N == 0:
			unknownIDs++
		case q.N == 1 && (q.fate == taken || q.fate == unknown):
			open++
		case q.fate == taken && d.when(isClosed) != 0:
			say("it has no reply")
		}
	}
	for id, n := range byID {
		if len(n) > 1 {
			bad = append(bad, fmt.Sprintf("Ksock %s has %d replies to %v", d.name, len(n), id))
		}
	}
	switch n := len(byID); {
	case len(byKey) > 0:
		bad = append(bad, fmt.Sprintf("Ksock %s has answers to what it did not ask: %v", d.name, byKey))
	case n > open+unknownIDs, d.when(isClosed) != 0 && n != open:
		bad = append(bad, fmt.Sprintf("Ksock %s has %d replies of a bus to %d requests that were posted", d.name, n, open))
	}
	return bad
}

// checkRuns: a request runs once, where it may.
func (tr *ksockTrace) checkRuns(q *saying, ran []execution, say func(string, ...any)) {
	if len(ran) > 1 {
		say("it ran %d times", len(ran))
	}
	for _, r := range ran {
		switch {
		case r.by.program != q.Word:
			say("%s had it", r.by.name)
		case q.To != 0 && r.by.find(hasOpened).To != q.To:
			say("Ksock %d had it, and not %d of its dialogue", r.by.find(hasOpened).To, q.To)
		case q.fate == denied, q.fate == neverPut:
			say("%s, but it ran", q.answer.What)
		}
	}
}

// checkReply checks the one reply to a request.
func (tr *ksockTrace) checkReply(d *ksockDiary, q *saying, ran []execution, reply note, say func(string, ...any)) {
	if q.fate == denied || q.fate == neverPut {
		say("%s, but it has a reply", q.answer.What)
	}
	if reply.Key != "" { // reply.Word is who wrote it
		if !slices.ContainsFunc(ran, func(r execution) bool { return r.by.name == reply.Word && r.by.answered(q.Key) }) {
			say("%s has not answered it, but there is its reply", reply.Word)
		}
		return
	}
	outcome, reason, _ := strings.Cut(reply.Word, " ")
	o, _ := kbusdev.OutcomeFromName(outcome)
	if (o == kbusdev.NeverRan || o == kbusdev.Expired) && len(ran) > 0 {
		say("it ran, and the reply is %s", reply.Word)
	}
	if far := tr.homeOf[q.Word] != d.home; far && (reason == "RemoteError.EBUSY" || reason == "RemoteError.EAGAIN") && tr.briefs[q.Word].Queue < roomyQueue {
		return
	}
	if tr.healthy(d, q, reply.At) {
		say("nothing happened to its replier, and the reply is %s", reply.Word)
	}
}

// roomyQueue is a bound that the programs' requests do not reach.
const roomyQueue = 1000

// checkRefusal checks why a request was refused.
func (tr *ksockTrace) checkRefusal(d *ksockDiary, q *saying, say func(string, ...any)) {
	errno := q.answer.Word
	switch {
	case errno == "EBUSY" && tr.briefs[q.Word].Queue < roomyQueue && tr.homeOf[q.Word] == d.home:
	case errno == "ENOLCK" && tr.briefs[d.program].Queue < roomyQueue:
	case (errno == "EADDRNOTAVAIL" || errno == "EPIPE" && q.To != 0) && !tr.healthy(d, q, q.by):
	default:
		say("it was refused with %s", errno)
	}
}

// healthy reports whether a replier that may answer a request was there for d the whole time
// from the asking until a time.
func (tr *ksockTrace) healthy(d *ksockDiary, q *saying, until time.Duration) bool {
	far := tr.homeOf[q.Word] != d.home
	if far && len(tr.deaths) > 0 {
		return false
	}
	var of []*ksockDiary
	for _, r := range tr.ksocks {
		if r.program == q.Word {
			of = append(of, r)
		}
	}
	if far && len(of) > 1 {
		return false // it takes time until the other daemon knows of the next
	}
	return slices.ContainsFunc(of, func(r *ksockDiary) bool {
		ready := r.when(isReady)
		fit := q.To == 0 || q.To == r.find(hasOpened).To
		if !fit || ready == 0 || ready >= q.At || r.when(isOver) != 0 || r.ended() <= until {
			return false
		}
		// One that was killed may not have learned before that its Ksock was over.
		return !tr.diedBetween(r.home, ready, until) && (r.killed == 0 || !tr.mayBeLost(r))
	})
}

func (d *ksockDiary) answered(key string) bool {
	return slices.ContainsFunc(d.notes, func(n note) bool { return n.What == willAnswer && n.Key == key })
}

// checkAnswers: a reply is refused only when its asker is gone.
func (tr *ksockTrace) checkAnswers(d *ksockDiary) (bad []string) {
	if d.program[:1] != replies {
		return nil
	}
	for _, n := range d.notes {
		if n.What != wasRefused {
			continue
		}
		asker := slices.IndexFunc(tr.ksocks, func(a *ksockDiary) bool { return a.name == ksockOf(n.Key) })
		gone := asker >= 0 && tr.ksocks[asker].when(isClosed) == 0 || tr.homes > 1 && len(tr.deaths) > 0
		if !gone || n.Word != "EADDRNOTAVAIL" && n.Word != "ECONNREFUSED" {
			bad = append(bad, fmt.Sprintf("Ksock %s: its reply to %s was refused with %s", d.name, n.Key, n.Word))
		}
	}
	return bad
}

// summary counts what happened.
func (tr *ksockTrace) summary() string {
	counts := make(map[string]int)
	for _, d := range tr.ksocks {
		for _, n := range d.notes {
			switch n.What {
			case hasHeard, willPost, willAsk, hasRun, hasOpened, isOver:
				counts[n.What]++
			case wasRefused:
				counts[n.What+" "+n.Word]++
			case hasReply:
				if n.Key == "" {
					counts[n.Word]++
				} else {
					counts["answered"]++
				}
			case hasMissed:
				counts[n.What] += n.N
			}
		}
	}
	return fmt.Sprint(counts)
}
