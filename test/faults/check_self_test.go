package faults

import (
	"strings"
	"testing"
	"time"
)

// sound gives a trace in which every promise is kept: node 0 sends 0 to 9, a tenth of
// a second apart, and all three hear them 10 ms later; node 0 asks 1 once.
func sound() *trace {
	tr := newTrace()
	tr.settled = []time.Duration{0}
	for n := range 10 {
		at := time.Duration(n) * 100 * time.Millisecond
		tr.sent = append(tr.sent, &announcement{sender: 0, start: at, end: at + time.Millisecond, accepted: true})
		for node := range 3 {
			e := ear{node: node, stream: node}
			tr.heard[e] = append(tr.heard[e], hearing{n, at + 10*time.Millisecond})
		}
	}
	tr.calls = []*call{{key: "a", asker: 0, target: 1, start: 1, end: 2, what: answered, word: echo(1, "a")}}
	tr.runs["a"] = []int{1}
	return tr
}

// forget has node 1 not hear some of them.
func (tr *trace) forget(from, to int) {
	e := ear{1, 1}
	var left []hearing
	for _, h := range tr.heard[e] {
		if h.number < from || h.number > to {
			left = append(left, h)
		}
	}
	tr.heard[e] = left
}

// The checks find each broken promise, and only those.
func TestChecks(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		spoil func(tr *trace)
		want  string // part of what is found; "" is nothing
	}{
		{"all is well", func(*trace) {}, ""},
		{"a reply for another", func(tr *trace) { tr.calls[0].word = echo(1, "b") }, "not its reply"},
		{"a reply by another", func(tr *trace) { tr.runs["a"] = []int{0} }, "not at 1"},
		{"run twice", func(tr *trace) { tr.runs["a"] = []int{1, 1} }, "ran 2 times"},
		{"never run", func(tr *trace) { delete(tr.runs, "a") }, "never had it"},
		{"not delivered", func(tr *trace) { tr.calls[0].what, tr.calls[0].word = failed, neverRan[0] }, "but it ran"},
		{"expired", func(tr *trace) { tr.calls[0].what, tr.calls[0].word = failed, neverRan[1] }, "but it ran"},
		{"may have run", func(tr *trace) {
			tr.calls[0].what, tr.calls[0].word = failed, outcomeUnknown
			tr.outages = []outage{{node: -1, link: 0, from: 1, to: 2}}
		}, ""},
		{"may have run, with nothing down", func(tr *trace) {
			tr.calls[0].what, tr.calls[0].word = failed, outcomeUnknown
			tr.outages = []outage{{node: -1, link: 1, from: 1, to: 2}, {node: 1, link: -1, from: 3, to: 4}}
		}, "nothing was down"},
		{"refused, with nothing down any more", func(tr *trace) {
			tr.calls[0] = &call{key: "a", asker: 0, target: 1, start: 8, end: 9, what: refused}
			tr.outages = []outage{{node: 1, link: -1, from: 1, to: 2}}
			tr.settled = append(tr.settled, 5)
		}, "refused although"},
		{"refused", func(tr *trace) { tr.calls[0].what = refused }, "but it ran"},
		{"no reply", func(tr *trace) { tr.calls[0].what = unanswered }, "has no reply"},
		{"still open", func(tr *trace) { tr.calls[0].what = open }, "has no reply"},
		{"killed with its daemon", func(tr *trace) { tr.calls[0].what = orphaned; delete(tr.runs, "a") }, ""},
		{"killed with its daemon, after it ran", func(tr *trace) {
			tr.calls[0].what = orphaned
			tr.outages = []outage{{node: 0, link: -1, from: 1, to: 2}}
		}, ""},
		{"stopped with its daemon, after it ran", func(tr *trace) {
			tr.calls[0].what = orphaned
			tr.outages = []outage{{node: 0, link: -1, from: 1, to: 2, drain: true, stopped: 2}}
		}, "did not wait"},
		{"cut off by a drain", func(tr *trace) {
			tr.calls[0].what, tr.calls[0].word = failed, outcomeUnknown
			tr.outages = []outage{{node: 1, link: -1, from: 1, to: 2, drain: true, stopped: 2}}
		}, "a drain did not wait"},
		{"it took longer than a drain waits", func(tr *trace) {
			tr.calls[0].what, tr.calls[0].word, tr.calls[0].end = failed, outcomeUnknown, 6*time.Second
			tr.outages = []outage{{node: 1, link: -1, from: 1, to: 6 * time.Second, drain: true, stopped: 6 * time.Second}}
		}, ""},
		{"nobody asked", func(tr *trace) { tr.runs["b"] = []int{1} }, "never asked"},
		{"one lost", func(tr *trace) { tr.forget(4, 4) }, "lost: 4"},
		{"the first lost", func(tr *trace) { tr.forget(0, 0) }, "lost: 0"},
		{"the last lost", func(tr *trace) { tr.forget(9, 9) }, "lost: 9"},
		{"all lost", func(tr *trace) { tr.forget(0, 9) }, "10 of those"},
		{"it may not have been sent", func(tr *trace) { tr.sent[4].accepted = false; tr.forget(4, 4) }, ""},
		{"lost on a broken link", func(tr *trace) {
			tr.forget(4, 6)
			tr.outages = []outage{{node: -1, link: 0, from: 350 * ms, to: 550 * ms}}
		}, ""},
		{"lost in a killed node, and before", func(tr *trace) {
			tr.forget(2, 6)
			tr.outages = []outage{{node: 1, link: -1, from: 450 * ms, to: 550 * ms}}
		}, ""},
		{"lost before what came before the kill", func(tr *trace) {
			tr.forget(2, 2)
			tr.outages = []outage{{node: 1, link: -1, from: 450 * ms, to: 550 * ms}}
		}, "lost: 2"},
		{"lost long after the kill", func(tr *trace) {
			tr.forget(7, 7)
			tr.outages = []outage{{node: 1, link: -1, from: 350 * ms, to: 450 * ms}}
		}, "lost: 7"},
		{"lost when all worked again", func(tr *trace) {
			tr.forget(6, 7)
			tr.outages = []outage{{node: -1, link: 0, from: 350 * ms, to: 590 * ms}}
			tr.settled = append(tr.settled, 590*ms)
		}, "lost: 6 7"},
		{"an outage elsewhere", func(tr *trace) {
			tr.forget(4, 4)
			tr.outages = []outage{{node: 2, link: -1, from: 350 * ms, to: 550 * ms}}
		}, "lost: 4"},
		{"twice", func(tr *trace) {
			tr.heard[ear{1, 1}] = append(tr.heard[ear{1, 1}], hearing{9, time.Second})
		}, "heard twice"},
		{"out of order", func(tr *trace) {
			tr.forget(5, 5)
			tr.heard[ear{1, 1}] = append(tr.heard[ear{1, 1}], hearing{5, time.Second})
		}, "5 was heard after 9"},
		{"out of order, for the node between was killed", func(tr *trace) {
			for i := range tr.heard[ear{2, 2}] {
				tr.heard[ear{2, 2}][i].at += time.Second
			}
			tr.heard[ear{2, 2}][4], tr.heard[ear{2, 2}][5] = tr.heard[ear{2, 2}][5], tr.heard[ear{2, 2}][4]
			tr.kills = []death{{1, 900 * ms}}
		}, ""},
		{"out of order, though an end was killed, or the node between too early", func(tr *trace) {
			tr.heard[ear{2, 2}][4], tr.heard[ear{2, 2}][5] = tr.heard[ear{2, 2}][5], tr.heard[ear{2, 2}][4]
			tr.kills = []death{{2, 505 * ms}, {1, 300 * ms}}
		}, "4 was heard after 5"},
		{"late, when nobody said that it was taken", func(tr *trace) {
			tr.sent[5].accepted = false
			tr.forget(5, 5)
			tr.heard[ear{1, 1}] = append(tr.heard[ear{1, 1}], hearing{5, time.Second})
		}, ""},
		{"late and twice", func(tr *trace) {
			tr.sent[5].accepted = false
			tr.heard[ear{1, 1}] = append(tr.heard[ear{1, 1}], hearing{5, time.Second})
		}, "heard twice"},
		{"again on a new stream", func(tr *trace) { tr.heard[ear{1, 3}] = []hearing{{9, time.Second}} }, ""},
		{"from nowhere", func(tr *trace) { tr.heard[ear{1, 3}] = []hearing{{10, time.Second}} }, "10 was never sent"},
		{"a stream broke", func(tr *trace) { tr.strange("a stream broke") }, "a stream broke"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := sound()
			c.spoil(tr)
			got := strings.Join(tr.check(&shape{name: "chain", nodes: 3, links: [][2]int{{0, 1}, {2, 1}}}), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
