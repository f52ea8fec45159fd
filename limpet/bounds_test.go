package limpet_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/recent"
)

func bindings(t *testing.T, bus *membus.Bus) []kbusdev.Binding {
	t.Helper()
	all, err := bus.Bindings()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Frames that are no messages are counted: a peer that sends too many of them is told so, and
// its link ends. Those that keep to the protocol are far from that.
func TestFramesOfControl(t *testing.T) {
	for name, f := range map[string]link.Frame{
		"pings":       &link.Ping{},
		"unknown":     &link.Unknown{},
		"tables":      &link.Table{Kind: link.TableEnd},
		"resyncs":     &link.Table{Kind: link.TableResync},
		"drain, done": &link.Drain{Done: true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			e := byHand(now)
			if err := e.Attach(now, 1); err != nil {
				t.Fatal(err)
			}
			for i := range 1000 {
				if err := e.TakeFrame(now, f); err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
			}
			now = now.Add(time.Second)
			for i := range 50 {
				if err := e.TakeFrame(now, f); err != nil {
					t.Fatalf("frame %d a second later: %v", i, err)
				}
			}
			wantCode(t, name, e.TakeFrame(now, f), link.Protocol)
			if e.Why() == nil {
				t.Error("the epoch goes on")
			}
		})
	}
	t.Run("topologies", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := newPuppet(t, membus.New(), limpet.Config{})
			p.dial()
			for range 1001 {
				p.send(&link.Topology{})
			}
			p.listen(false)
			p.stream.Close()
			wantCode(t, "topologies", p.ending(), link.Protocol)
		})
	})
}

// What has us look through a long table costs more.
func TestTablesCostWhatTheyAre(t *testing.T) {
	now := time.Unix(1000, 0)
	e := byHand(now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	batch := &link.Batch{First: 1}
	for i := range 250 {
		batch.Messages = append(batch.Messages, kbusdev.Message{Name: kbusdev.NameReplierBindEvent, Event: &kbusdev.BindEvent{Bound: true, Binder: 3, Name: fmt.Sprintf("$.N%d", i)}})
	}
	for i := range 40 {
		for k := range batch.Messages {
			batch.Messages[k].Event.Name = fmt.Sprintf("$.N%d.M%d", i, k)
		}
		if err := e.TakeFrame(now, batch); err != nil {
			t.Fatal(err)
		}
		carryOut(e, now, allGoesWell)
		batch.First += 250
	}
	n := 0
	for e.TakeFrame(now, &link.Table{Kind: link.TableEnd}) == nil {
		n++
	}
	if n < 40 || n > 60 {
		t.Errorf("%d ends of a table of 10000 names at once", n)
	}
}

// A peer that binds and unbinds for ever is held up, and costs the others little; when the
// link ends, what waits is ended at once.
func TestBindEventsHaveARate(t *testing.T) {
	now := time.Unix(1000, 0)
	cfg := limpet.EpochConfig{
		Config:    limpet.Config{Pattern: "$.*", MaxMessages: 100, MaxNames: 10},
		NetworkID: 1, PeerNetworkID: 2, Ksock: 9,
		Session: link.SessionConfig{WindowMessages: 100, WindowBytes: 1 << 20},
		IDs:     recent.New(now), Totals: new(limpet.Totals),
	}
	e := limpet.NewEpoch(cfg, now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	batch := &link.Batch{First: 1}
	for i := range 100 {
		batch.Messages = append(batch.Messages, kbusdev.Message{Name: kbusdev.NameReplierBindEvent, Event: &kbusdev.BindEvent{Bound: i%2 == 0, Binder: 3, Name: "$.N"}})
	}
	if err := e.TakeFrame(now, batch); err != nil {
		t.Fatal(err)
	}
	waiting := func(want int) {
		t.Helper()
		carryOut(e, now, allGoesWell)
		if got := e.Waiting(); got != want {
			t.Errorf("%d bind events wait, want %d", got, want)
		}
		if next := e.NextTime(); next.After(now.Add(time.Millisecond)) || next.IsZero() {
			t.Errorf("the next one may be taken in %v", next.Sub(now))
		}
	}
	waiting(100 - 21) // twice as many as names, and one
	now = now.Add(2 * time.Millisecond)
	waiting(100 - 31)
	e.End(now, link.Errorf(link.GoingAway, "the test ends it"), false)
	carryOut(e, now, allGoesWell)
	if got := e.Waiting(); got != 0 {
		t.Errorf("%d bind events wait after the end", got)
	}

	// The next epoch of the peering begins with what this one has left.
	again := limpet.NewEpoch(cfg, now)
	if err := again.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	e = again
	if err := e.TakeFrame(now, batch); err != nil {
		t.Fatal(err)
	}
	carryOut(e, now, allGoesWell)
	if got := e.Waiting(); got < 98 {
		t.Errorf("another link takes %d bind events at once", 100-got)
	}
}

// The names of all peers have a bound together; what one gives back another may have.
func TestNamesOfAllPeers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		n := node(t, bus, 1)
		n.BoundNames(1000, 30)
		bind := func(p *puppet, names ...string) {
			for _, name := range names {
				p.bind(true, name)
			}
			synctest.Wait()
		}
		names := func(who string, n int) (all []string) {
			for i := range n {
				all = append(all, fmt.Sprintf("$.%s.N%d", who, i))
			}
			return all
		}
		a := newPuppetOf(t, n, limpet.Config{})
		a.dial()
		bind(a, names("A", 20)...)
		before := len(bindings(t, bus))
		b := newPuppetOf(t, n, limpet.Config{})
		b.greeting.NetworkID, b.greeting.Instance = 3, link.InstanceID{3}
		b.dial()
		own := len(bindings(t, bus)) - before
		bind(b, names("B", 20)...)
		if got := len(bindings(t, bus)) - before - own; got != 10 {
			t.Errorf("%d of 20 names are bound, there is room for 10", got)
		}
		a.bind(false, names("A", 5)...)
		synctest.Wait()
		bind(b, names("C", 20)...)
		if got := len(bindings(t, bus)) - before - own; got != 10 {
			t.Errorf("after 5 have gone there are %d more than 20 names, not 10", got)
		}
	})
}

// Peers that open many links share what their queues may hold: those after the first have a
// smaller window, when they come again too, and it changes nothing for the first.
func TestWindowsOfManyPeers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := node(t, membus.New(), 1)
		for i := range uint32(40) {
			p := newPuppetOf(t, n, limpet.Config{})
			p.greeting.NetworkID, p.greeting.Instance = 2+i, link.InstanceID{byte(2 + i)}
			want := uint64(16 << 20)
			if i >= 32 {
				want = 512 << 10
			}
			p.dial()
			if got := p.answer.WindowBytes; got != want {
				t.Errorf("peer %d has a window of %d bytes, want %d", i, got, want)
			}
			if i%10 == 0 || i == 39 {
				p.stream.Close()
				synctest.Wait()
				p.redial()
				if got := p.answer.WindowBytes; got != want {
					t.Errorf("peer %d has a window of %d bytes the second time, want %d", i, got, want)
				}
			}
		}
	})
}
