package faults

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Daemons are killed and stopped, their links cut, held up and slowed down, by
// schedules made from seeds: whatever happens, programs are told the truth. The seed
// of a failure plays it again: -run Schedules -seed N.
func TestSchedules(t *testing.T) {
	seeds, beside := 8, 4
	if asked("long") {
		seeds, beside = 300, 8
	}
	var all []*schedule
	for seed := range uint64(seeds) {
		all = append(all, newSchedule(seed+1, seed%20 == 19))
	}
	if *oneSeed != 0 {
		all = []*schedule{newSchedule(*oneSeed, *oneSeed%20 == 0)}
	}
	together(t, len(all), beside, func(i int) string { return fmt.Sprint("seed=", all[i].seed) }, func(t *testing.T, i int) { play(t, all[i]) })
}

// together runs n tests, at most so many beside each other: they wait more than they
// work, so that t.Parallel's bound, the number of cores, is too low.
func together(t *testing.T, n, beside int, name func(int) string, test func(t *testing.T, i int)) {
	t.Helper()
	slots := make(chan struct{}, beside)
	var all sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			t.Run(name(i), func(t *testing.T) { test(t, i) })
		})
	}
	all.Wait()
}

func play(t *testing.T, s *schedule) {
	n := newNetwork(t, s.shape, s.network, s.grace, s.seed%2 == 0)
	n.populate(func(p *programs) { p.send, p.ask, p.dawdle = 50*time.Millisecond, 50*time.Millisecond, true })
	n.suffer(s.faults)
	n.settle()
	n.depopulate()
	t.Logf("%v\n%d announcements, requests %v", s, len(n.tr.sent), n.tr.counts())
	n.verify()
	if bad := n.tr.check(s.shape); len(bad) > 0 {
		t.Errorf("%d promises are broken:\n%s", len(bad), strings.Join(bad[:min(len(bad), 30)], "\n"))
	}
}

// suffer has the faults come and go at their times, and returns when all are over.
func (n *network) suffer(faults []fault) {
	var all events
	for _, f := range faults {
		all.add(f.at, f.lasts, func() (over func()) { return n.apply(f) })
	}
	all.play()
}
