package limpet_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// On a slow link the peer hears of a drain late: what it has sent until then, and what
// was read from its bus, is still answered by the replier.
func TestDrainOfASlowLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := membus.New(), membus.New()
		na, nb := node(t, a, 1), node(t, b, 2)
		slow := func(w *wires) { w.onSend = func() { <-time.After(200 * time.Millisecond) } }
		layFrom(t, na.NewDialled("slow", limpet.Config{}, false), nb, limpet.Config{}, slow)
		pass(5 * time.Second)
		asker, replier := open(t, a), open(t, b)
		bind(t, replier, "$.Ask", kbusdev.Replier)
		pass(5 * time.Second)
		asked := map[kbusdev.MsgID]bool{ask(t, asker, "$.Ask"): true}
		drained := make(chan struct{})
		go func() { defer close(drained); nb.Peerings()[0].Drain(context.Background(), "test") }()
		pass(150 * time.Millisecond)
		asked[ask(t, asker, "$.Ask")] = true
		for over := false; !over; {
			for _, q := range queuedOn(t, replier) {
				sendTo(t, replier, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: []byte("in time")})
			}
			synctest.Wait()
			select {
			case <-drained:
				over = true
			case <-time.After(10 * time.Millisecond):
			}
		}
		synctest.Wait()
		for _, m := range queuedOn(t, asker) {
			if !asked[m.InReplyTo] || string(m.Data) != "in time" {
				t.Errorf("request %v is answered %s %q", m.InReplyTo, m.Name, m.Data)
			}
			delete(asked, m.InReplyTo)
		}
		if len(asked) > 0 {
			t.Errorf("not answered: %v", asked)
		}
		lawful(t, true, na, nb)
	})
}

// A peer that drains is told that it need not wait for us when nothing is bound for it,
// what our bus had for it has been read, and all of that is answered: not before.
func TestDoneWithADrain(t *testing.T) {
	now := time.Unix(1000, 0)
	e := byHand(now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	step := func(what string, want bool, do func()) {
		t.Helper()
		do()
		done := false
		for {
			f, _, _ := e.NextFrame(now)
			if f == nil {
				break
			}
			if d, ok := f.(*link.Drain); ok {
				done = d.Done
			}
		}
		if done != want {
			t.Errorf("%s: done is said: %t", what, done)
		}
	}
	event := func(bound bool, serial uint32) {
		e.FromBus(now, []*kbusdev.Message{{
			ID: kbusdev.MsgID{Serial: serial}, Name: kbusdev.NameReplierBindEvent, Flags: kbusdev.Synthetic,
			Event: &kbusdev.BindEvent{Bound: bound, Binder: 9, Name: "$.Ask"},
		}})
	}
	take := func(f link.Frame) {
		if err := e.TakeFrame(now, f); err != nil {
			t.Fatal(err)
		}
	}
	step("a name is bound", false, func() {
		take(&link.Batch{First: 1, Messages: []kbusdev.Message{bindEvent(true, 7, "$.Ask")}})
		carryOut(e, now, allGoesWell)
		event(true, 1)
	})
	step("the peer drains", false, func() { take(&link.Drain{Reason: "test"}) })
	step("the name is unbound", false, func() { carryOut(e, now, allGoesWell) })
	step("a request from before is read", false, func() { e.FromBus(now, []*kbusdev.Message{request(2)}) })
	step("the unbind event is read", false, func() { event(false, 3) })
	step("the request is answered", true, func() {
		take(&link.Batch{First: 2, Ack: 1, Messages: []kbusdev.Message{{
			ID: kbusdev.MsgID{Network: 2, Serial: 1}, InReplyTo: kbusdev.MsgID{Network: 1, Serial: 2}, To: 5,
			From: 7, OrigFrom: kbusdev.Address{Network: 2, Local: 7}, Name: "$.Ask",
		}}})
		carryOut(e, now, allGoesWell)
	})
	step("later", false, func() { take(&link.Drain{Reason: "again"}) })
}
