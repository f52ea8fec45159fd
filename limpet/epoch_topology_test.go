package limpet_test

import (
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
)

// The first change is told at once, those that follow soon after it together.
func TestTopologyIsToldNowAndThen(t *testing.T) {
	now := time.Unix(1000, 0)
	e := byHand(now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	for e.Due().IsZero() { // what each stream begins with
		e.NextFrame(now)
	}
	if !e.Light() {
		t.Fatal("with nothing to tell it is not light")
	}
	if e.TopologyDue(now) {
		t.Error("something is due that nobody owes")
	}
	if !e.OweTopology() || e.OweTopology() {
		t.Error("the first change is news, the second is not")
	}
	if e.Light() || e.Due().After(now) || !e.TopologyDue(now) {
		t.Error("the first change is not told at once")
	}
	e.TopologyTold(now)
	e.OweTopology()
	next := now.Add(250 * time.Millisecond)
	if e.TopologyDue(next.Add(-1)) || !e.Due().Equal(next) {
		t.Errorf("the next change is due at %v, not %v", e.Due(), next)
	}
	if f, again, _ := e.NextFrame(now); f != nil || !again.Equal(next) {
		t.Errorf("%v, then asked again at %v, not %v", f, again, next)
	}
	if !e.TopologyDue(next) || e.TopologyDue(next) {
		t.Error("the next change is not told once, in time")
	}
	e.OweTopology()
	e.End(next, link.Errorf(link.GoingAway, "enough"), false)
	if e.TopologyDue(next.Add(time.Hour)) {
		t.Error("it is told at the end")
	}
}
