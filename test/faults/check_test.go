package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// neverRan are the replies which promise that no replier had the request.
var neverRan = []string{kbusdev.NameRemoteErrorPrefix + "NotDelivered", kbusdev.NameRemoteErrorPrefix + "Expired"}

// outcomeUnknown is the reply which says that the replier may have had the request.
const outcomeUnknown = kbusdev.NameRemoteErrorPrefix + "OutcomeUnknown"

// check compares what the programs saw with what they were promised, and gives the
// broken promises. The run is over: nothing changes tr any more.
func (tr *trace) check(n *shape) []string {
	bad := slices.Clone(tr.odd)
	bad = append(bad, tr.checkCalls(n)...)
	for sender := range n.nodes {
		for listener := range n.nodes {
			path, links := n.path(sender, listener)
			bad = append(bad, tr.checkHeard(sender, listener, path, links)...)
		}
	}
	return bad
}

// checkCalls: one reply for each request, from the right program; and what was said
// of it is what its replier knows. While nothing on its way was down the replier
// answers, unless the request waited too long for a link.
func (tr *trace) checkCalls(n *shape) (bad []string) {
	known := make(map[string]bool, len(tr.calls))
	for _, c := range tr.calls {
		known[c.key] = true
		runs := tr.runs[c.key]
		say := func(what string) {
			bad = append(bad, fmt.Sprintf("request %s, asked at %v, ended at %v with %q: %s", c.key, c.start, c.end, c.word, what))
		}
		if len(runs) > 1 {
			say(fmt.Sprintf("it ran %d times", len(runs)))
		}
		if slices.ContainsFunc(runs, func(r int) bool { return r != c.target }) {
			say(fmt.Sprintf("it ran at %v and not at %d", runs, c.target))
		}
		switch c.what {
		case answered:
			if c.word != echo(c.target, c.key) {
				say("that is not its reply")
			}
			if len(runs) == 0 {
				say("its replier never had it")
			}
		case failed:
			switch never := slices.Contains(neverRan, c.word); {
			case never && len(runs) > 0:
				say("but it ran")
			case !never && !tr.disturbed(n, c):
				say("although nothing was down")
			case !never && (len(runs) > 0 || c.word == outcomeUnknown) && !tr.cutOff(n, c):
				say("a drain did not wait for its reply")
			}
		case refused:
			if len(runs) > 0 {
				say("its bus refused it, but it ran")
			}
			if !tr.disturbed(n, c) {
				say("it was refused although nothing was down")
			}
		case orphaned:
			if len(runs) > 0 && !tr.cutOff(n, c) {
				say("its daemon did not wait for its reply before it stopped")
			}
		case open, unanswered:
			say("it has no reply")
		}
	}
	for key := range tr.runs {
		if !known[key] {
			bad = append(bad, "request "+key+" was never asked, but ran")
		}
	}
	return bad
}

// disturbed reports whether there was an outage on a call's way, before its end and
// with no time at which all was seen to work between the outage and the call.
func (tr *trace) disturbed(n *shape, c *call) bool {
	return tr.outageOn(n, c, func(outage) bool { return true })
}

// drainLimit is how long a daemon that is told to stop lets open requests finish.
const drainLimit = 5 * time.Second

// cutOff reports whether a call may have lost its reply: there was an outage as in
// disturbed that is not a drain, or a drain that had reached its limit.
func (tr *trace) cutOff(n *shape, c *call) bool {
	return tr.outageOn(n, c, func(o outage) bool { return !o.drain || o.stopped-o.from >= drainLimit })
}

func (tr *trace) outageOn(n *shape, c *call, which func(outage) bool) bool {
	nodes, links := n.path(c.asker, c.target)
	mended := tr.settled[0]
	for _, s := range tr.settled {
		if s <= c.start {
			mended = s
		}
	}
	return c.start < tr.settled[0] || slices.ContainsFunc(tr.outages, func(o outage) bool {
		return (slices.Contains(nodes, o.node) || slices.Contains(links, o.link)) && o.from <= c.end && o.from >= mended && which(o)
	})
}

// checkHeard: in order and never twice, on each stream of the listener; and none
// missing but those that an outage on the path between may have lost. One whose sender
// was not told that it was accepted may come late: it went on to the next. So may one
// that a daemon between the two was killed with, for its new life is given it again,
// and the old one may have passed on what came after it.
func (tr *trace) checkHeard(sender, listener int, path, links []int) (bad []string) {
	at := make(map[int]time.Duration)
	say := func(format string, args ...any) {
		bad = append(bad, fmt.Sprintf("announcements from %d to %d: ", sender, listener)+fmt.Sprintf(format, args...))
	}
	var end time.Duration
	for e, all := range tr.heard {
		last := -1
		before := make(map[int]bool)
		for _, h := range all {
			if h.number >= len(tr.sent) {
				say("%d was never sent", h.number)
				continue
			}
			if e.node != listener || tr.sent[h.number].sender != sender {
				continue
			}
			switch {
			case before[h.number]:
				say("%d was heard twice", h.number)
			case !tr.sent[h.number].accepted, h.number < last && tr.killedBetween(path, tr.sent[h.number].start, h.at):
			case h.number < last:
				say("%d was heard after %d", h.number, last)
			default:
				last = h.number
			}
			before[h.number] = true
			if first, again := at[h.number]; !again || h.at < first {
				at[h.number] = h.at
			}
			end = max(end, h.at)
		}
	}
	var mine []int
	for number, a := range tr.sent {
		if a.sender == sender && a.accepted {
			mine = append(mine, number)
			end = max(end, a.end)
		}
	}
	for i, w := range tr.windows(path, links, end+1) {
		if lost := tr.lostIn(w, mine, at, i == 0 && w[0] == tr.settled[0], w[1] == end+1); len(lost) > 0 {
			say("%d of those sent from %v to %v are lost: %s", len(lost), w[0], w[1], few(lost))
		}
	}
	return bad
}

// killedBetween reports whether a node of a path that is not one of its ends was killed
// in a time.
func (tr *trace) killedBetween(path []int, from, to time.Duration) bool {
	return len(path) > 2 && slices.ContainsFunc(tr.kills, func(d death) bool {
		return slices.Contains(path[1:len(path)-1], d.node) && d.at >= from && d.at <= to
	})
}

// lostIn gives those of the numbers that were sent in the window and not heard
// although they had to be: all between the first and the last of them that were
// heard in it. When it starts with a network that works, that starts with the first
// sent; when it ends with the run, it ends with the last.
func (tr *trace) lostIn(window [2]time.Duration, numbers []int, at map[int]time.Duration, starts, ends bool) (lost []int) {
	var sent []int
	first, last := -1, -1
	for _, n := range numbers {
		if a := tr.sent[n]; a.start < window[0] || a.end >= window[1] {
			continue
		}
		sent = append(sent, n)
		if t, ok := at[n]; ok && t >= window[0] && t < window[1] {
			if first < 0 {
				first = n
			}
			last = n
		}
	}
	if len(sent) == 0 {
		return nil
	}
	if starts || slices.ContainsFunc(tr.settled, func(s time.Duration) bool { return s == window[0] }) {
		first = sent[0]
	}
	if ends {
		last = sent[len(sent)-1]
	}
	for _, n := range sent {
		if _, heard := at[n]; !heard && first >= 0 && n >= first && n <= last {
			lost = append(lost, n)
		}
	}
	return lost
}

func few(numbers []int) string {
	if len(numbers) <= 6 {
		return strings.Trim(fmt.Sprint(numbers), "[]")
	}
	return fmt.Sprintf("%d to %d", numbers[0], numbers[len(numbers)-1])
}

// echo is what the replier of a node answers.
func echo(replier int, key string) string { return fmt.Sprintf("%d had %s", replier, key) }
