package limpet_test

import (
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// telemetry returns what is known of the only link there is or was.
func telemetry(t *testing.T, n *limpet.Node) *limpet.Telemetry {
	t.Helper()
	all := n.Telemetry()
	if len(all) != 1 || all[0].Name != "network 2" {
		t.Fatalf("%d links, %+v", len(all), all)
	}
	return &all[0]
}

// reply answers the only request that has come, in the puppet's name.
func (p *puppet) reply(name string) {
	p.t.Helper()
	p.listen(true)
	got := p.named(name)
	q := got[len(got)-1]
	p.bring(kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: 1000 + uint32(len(got))}, InReplyTo: q.ID, Name: name, To: q.From, OrigFrom: kbusdev.Address{Network: 2, Local: 7}})
}

// Counts go on where they were when a peer that was forgotten, or whose link was closed,
// comes back; and they are there in between.
func TestCountsOutliveForgottenPeers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{Grace: time.Second, Forget: 10 * time.Minute})
		asker := open(t, bus)
		var took time.Duration
		for i := range uint64(4) {
			p.bind(true, "$.Far")
			ask(t, asker, "$.Far")
			pass(10 * time.Millisecond)
			took += 10 * time.Millisecond
			p.reply("$.Far")
			p.listen(true)
			if c := telemetry(t, p.node).Carried; c.Replies != i+1 || c.Epochs != i+1 || c.FromBusEnded["delivered"] != i+1 || c.Took.Counts[6]+c.Took.Counts[7] != i+1 || c.Took.Sum < took {
				t.Errorf("after %d replies %+v", i+1, c)
			}
			if i%2 == 0 { // it is forgotten
				p.cut()
				pass(11 * time.Minute)
			} else { // an operator's
				p.peering().Close(t.Context(), "the test wants it")
				p.listen(true)
				p.ending()
			}
			if c := telemetry(t, p.node); c.Carried.Replies != i+1 || c.Carried.Epochs != i+1 || len(c.Peerings) != 0 {
				t.Errorf("without a link after %d replies %+v", i+1, c)
			}
			p.restart()
			p.got = nil
			p.dial()
		}
	})
}

// Since when something is open or unacknowledged is told, and not when nothing is.
func TestOldest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{})
		ages := func() [3]time.Duration {
			one := telemetry(t, p.node).Peerings[0]
			var all [3]time.Duration
			for i, at := range []time.Time{one.OldestUnacknowledged, one.OldestOpen, one.OldestAsked} {
				if !at.IsZero() {
					all[i] = time.Since(at).Round(time.Second)
				}
			}
			return all
		}
		want := func(unacknowledged, open, asked int) {
			t.Helper()
			if got := ages(); got != [3]time.Duration{seconds(unacknowledged), seconds(open), seconds(asked)} {
				t.Errorf("the ages are %v, want %ds, %ds and %ds", got, unacknowledged, open, asked)
			}
		}
		replier, asker := open(t, bus), open(t, bus)
		bind(t, replier, "$.Near", kbusdev.Replier)
		p.bind(true, "$.Far")
		p.listen(true)
		want(0, 0, 0)
		ask(t, asker, "$.Far")
		pass(2 * time.Second)
		want(2, 2, 0)
		ask(t, asker, "$.Far")
		p.bring(kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: 9}, Name: "$.Near", From: 5, OrigFrom: kbusdev.Address{Network: 2, Local: 5}, Flags: kbusdev.WantReply | kbusdev.WantYouToReply})
		pass(3 * time.Second)
		want(5, 5, 3)
		p.listen(true)
		want(0, 5, 3)
		m := received(t, replier)
		if _, err := replier.Send(t.Context(), &kbusdev.Message{Name: "$.Near", InReplyTo: m.ID, To: m.From}); err != nil {
			t.Fatal(err)
		}
		p.listen(true)
		want(0, 5, 0)
		p.send(&link.Error{Code: link.GoingAway})
		p.ending()
		pass(time.Second)
		if got := telemetry(t, p.node).Peerings[0]; !got.OldestOpen.IsZero() || got.Counts.Synthetic != 2 {
			t.Errorf("without an epoch %+v", got)
		}
	})
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
