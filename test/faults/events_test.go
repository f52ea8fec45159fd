package faults

import (
	"cmp"
	"slices"
	"time"
)

// events are what begins and ends in a run, each at its time from the start.
type events []event

type event struct {
	at   time.Duration
	what func()
}

// add has something begin at a time, and what begin returns end it after so long.
func (e *events) add(at, lasts time.Duration, begin func() (over func())) {
	var over func()
	*e = append(*e, event{at, func() { over = begin() }}, event{at + lasts, func() { over() }})
}

// play has everything happen at its time, and returns when all is over.
func (e events) play() {
	slices.SortStableFunc(e, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for _, x := range e {
		timer.Reset(x.at - time.Since(began))
		<-timer.C
		x.what()
	}
}
