package limpet_test

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// When the grace is over open requests are answered: those that were never given to a
// stream did not run, the others may have. Proxies are unbound, so that the bus itself
// refuses the next ones.
func TestGraceOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(10000))
		p := dialPuppet(t, bus, limpet.Config{RequestHold: time.Hour})
		asker := open(t, bus)
		p.bind(true, "$.Far")
		acked := ask(t, asker, "$.Far")
		p.listen(true)
		handed := ask(t, asker, "$.Far")
		p.listen(false)
		synctest.Wait()
		p.cut()
		if st := p.status(); st.State != limpet.Detached {
			t.Fatalf("the link is %s", st.State)
		}
		taken := ask(t, asker, "$.Far")
		start := time.Now()
		want := map[kbusdev.MsgID]string{acked: kbusdev.NameOutcomeUnknown, handed: kbusdev.NameOutcomeUnknown, taken: kbusdev.NameNotDelivered}
		for range 3 {
			m := received(t, asker)
			if m.Name != want[m.InReplyTo] || time.Since(start) != 30*time.Second {
				t.Errorf("after %v request %v is answered %s, want %s", time.Since(start), m.InReplyTo, m.Name, want[m.InReplyTo])
			}
			delete(want, m.InReplyTo)
		}
		synctest.Wait()
		if _, err := asker.Send(t.Context(), &kbusdev.Message{Name: "$.Far", Flags: kbusdev.WantReply}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("the proxy is still bound: %v", err)
		}
		if st := p.status(); st.State != limpet.Connecting || !errors.Is(st.LastErr, &link.Error{Code: link.Expired}) || st.Counts.Synthetic != 3 {
			t.Errorf("%s, %v, %+v", st.State, st.LastErr, st.Counts)
		}
		lawful(t, true, p.node)
	})
}

// A request is not held for long while there is no stream: after 5 s its asker is told
// that it did not run, although the grace goes on.
func TestRequestHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(10000))
		p := dialPuppet(t, bus, limpet.Config{WindowMessages: 20})
		asker, talker := open(t, bus), open(t, bus)
		p.bind(true, "$.Far")
		p.listen(true)
		p.cut()
		pass(time.Second)
		early := ask(t, asker, "$.Far")
		pass(time.Second)
		late := ask(t, asker, "$.Far")
		start := time.Now()
		for i, want := range []kbusdev.MsgID{early, late} {
			m := received(t, asker)
			least := time.Duration(4+i) * time.Second
			if d := time.Since(start); m.InReplyTo != want || m.Name != kbusdev.NameNotDelivered || d < least || d > least+200*time.Millisecond {
				t.Errorf("after %v request %v is answered %s", d, m.InReplyTo, m.Name)
			}
		}
		// Behind a full window too.
		for range 30 {
			sendTo(t, talker, &kbusdev.Message{Name: "$.News"})
		}
		behind := ask(t, asker, "$.Far")
		start = time.Now()
		if m := received(t, asker); m.InReplyTo != behind || m.Name != kbusdev.NameNotDelivered || time.Since(start) > 5200*time.Millisecond {
			t.Errorf("after %v the request behind a full window is answered %s", time.Since(start), m.Name)
		}
		p.redial()
		p.listen(true)
		if n := len(p.named("$.Far")); n != 0 {
			t.Errorf("%d requests that were answered reach the peer", n)
		}
		if n := len(p.named("$.News")); n != 30 {
			t.Errorf("%d of 30 announcements reach the peer", n)
		}
		p.live(time.Second, true)
		lawful(t, true, p.node)
	})
}

// A request whose deadline is over before it reaches a replier is answered Expired, and
// never reaches one: at whatever place it waits.
func TestDeadlines(t *testing.T) {
	// The asker's side, while there is no stream.
	t.Run("while detached", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			bus := membus.New()
			p := dialPuppet(t, bus, limpet.Config{})
			asker := open(t, bus)
			p.bind(true, "$.Far")
			p.listen(true)
			p.cut()
			id := sendTo(t, asker, &kbusdev.Message{Name: "$.Far", Flags: kbusdev.WantReply, Expires: time.Now().Add(2 * time.Second)})
			start := time.Now()
			m := received(t, asker)
			if d := time.Since(start); m.InReplyTo != id || m.Name != kbusdev.NameExpired || d < 2*time.Second || d > 2200*time.Millisecond {
				t.Errorf("after %v answered %s", d, m.Name)
			}
			p.redial()
			p.listen(true)
			if n := len(p.named("$.Far")); n != 0 {
				t.Errorf("the request reaches the peer all the same")
			}
			lawful(t, false, p.node)
		})
	})
	// Behind a window that is full, while the stream lives.
	t.Run("behind a slow peer", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			bus := membus.New(membus.WithMaxMessages(10000))
			p := dialPuppet(t, bus, limpet.Config{WindowMessages: 500})
			asker := open(t, bus)
			p.bind(true, "$.Far")
			p.listen(true)
			big := make([]byte, 30000) // each is a batch of its own, and the pipe takes few
			for range 20 {
				sendTo(t, asker, &kbusdev.Message{Name: "$.News", Data: big})
			}
			id := sendTo(t, asker, &kbusdev.Message{Name: "$.Far", Flags: kbusdev.WantReply, Expires: time.Now().Add(2 * time.Second)})
			start := time.Now()
			m := received(t, asker)
			if d := time.Since(start); m.InReplyTo != id || m.Name != kbusdev.NameExpired || d < 2*time.Second || d > 2200*time.Millisecond {
				t.Errorf("after %v answered %s", d, m.Name)
			}
			p.live(3*time.Second, true)
			if n := len(p.named("$.Far")); n != 0 || len(p.named("$.News")) != 20 {
				t.Errorf("the peer gets %d requests and %d announcements", n, len(p.named("$.News")))
			}
		})
	})
	// On its way, and at the replier's side.
	t.Run("at the replier's side", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			bus := membus.New()
			p := dialPuppet(t, bus, limpet.Config{})
			replier := open(t, bus)
			bind(t, replier, "$.Near", kbusdev.Replier)
			p.bring(nearRequest(1, time.Minute))
			if len(queuedOn(t, replier)) != 1 {
				t.Error("a request in time does not reach the replier")
			}
			lawful(t, false, p.node)
		})
	})
	t.Run("in the inbox", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			e := limpet.NewEpoch(epochConfig(), time.Now())
			if err := e.Attach(time.Now(), 1); err != nil {
				t.Fatal(err)
			}
			if err := e.TakeFrame(time.Now(), &link.Batch{First: 1, Messages: []kbusdev.Message{nearRequest(1, time.Second), nearRequest(2, time.Minute)}}); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * time.Second)
			dos := e.Dos(time.Now(), nil)
			if len(dos) != 1 || dos[0].Effect.Msg.ID.Serial != 2 {
				t.Errorf("to be done: %+v", dos)
			}
			e.Outcomes(time.Now(), dos)
			f, _, _ := e.NextFrame(time.Now())
			b, ok := f.(*link.Batch)
			if !ok || len(b.Messages) != 1 || b.Messages[0].Name != kbusdev.NameExpired || b.Messages[0].InReplyTo.Serial != 1 {
				t.Errorf("the peer is sent %+v", f)
			}
		})
	})
}

func nearRequest(serial uint32, left time.Duration) kbusdev.Message {
	return kbusdev.Message{
		ID: kbusdev.MsgID{Network: 2, Serial: serial}, From: 7, OrigFrom: kbusdev.Address{Network: 2, Local: 7},
		Name: "$.Near", Flags: kbusdev.WantReply | kbusdev.WantYouToReply, Expires: time.Now().Add(left),
	}
}

type noIDs struct{}

func (noIDs) Claim(kbusdev.MsgID, time.Time) bool            { return false }
func (noIDs) Read(kbusdev.MsgID, kbusdev.KsockID, time.Time) {}

// epochConfig is that of an epoch by itself: network 1, whose peer is network 2.
func epochConfig() limpet.EpochConfig {
	return limpet.EpochConfig{
		Config: limpet.Config{
			Pattern: "$.*", MaxMessages: 1000, Grace: 30 * time.Second, RequestHold: 5 * time.Second, StallTimeout: 5 * time.Second,
			WaitTimeout: time.Second, DrainTimeout: 5 * time.Second, WindowMessages: 100, WindowBytes: 1 << 20,
		},
		NetworkID: 1, PeerNetworkID: 2, Ksock: 99,
		Session: link.SessionConfig{WindowMessages: 100, WindowBytes: 1 << 20},
		IDs:     noIDs{}, Totals: new(limpet.Totals),
	}
}

// A peer that has been started again gets the announcements that the one before it has
// not acknowledged. It gets no old requests: they may have run.
func TestPeerRestarted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{RequestHold: time.Hour})
		asker := open(t, bus)
		p.bind(true, "$.Far")
		say := func(n int) {
			sendTo(t, asker, &kbusdev.Message{Name: "$.News", Data: fmt.Append(nil, n)})
		}
		say(0)
		p.listen(true)
		say(1)
		handed := ask(t, asker, "$.Far")
		p.listen(false)
		p.cut()
		say(2)
		taken := ask(t, asker, "$.Far")
		pass(10 * time.Second)
		epoch := p.status()
		p.got = nil
		p.restart()
		p.dial()
		say(3)
		p.listen(true)
		answers := make(map[kbusdev.MsgID]string)
		for _, m := range queuedOn(t, asker) {
			answers[m.InReplyTo] = m.Name
		}
		if answers[handed] != kbusdev.NameOutcomeUnknown || answers[taken] != kbusdev.NameNotDelivered || len(answers) != 2 {
			t.Errorf("the asker is answered %v", answers)
		}
		var heard string
		for _, m := range p.named("$.News") {
			heard += string(m.Data)
		}
		if heard != "123" || len(p.named("$.Far")) != 0 {
			t.Errorf("the new peer gets announcements %s and %d requests", heard, len(p.named("$.Far")))
		}
		st := p.status()
		if st.Epochs != 2 || st.Resumed != 0 || st.Ksock == epoch.Ksock || st.Session == epoch.Session {
			t.Errorf("%d epochs, %d resumed", st.Epochs, st.Resumed)
		}
		if c := st.Counts; c.FromBusEnded["delivered"] != 4 || c.FromBusEnded["link_lost"] != 2 || c.FromBus < epoch.Counts.FromBus {
			t.Errorf("counts start again: %+v", c)
		}
		p.live(time.Second, true)
		lawful(t, true, p.node)
	})
}

// The daemon that we dial is started again: it has a new session on the first stream,
// although we greet it with how far we are in the old one.
func TestDialledPeerRestarted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		near, far := membus.New(), membus.New()
		hears, says := open(t, near), open(t, far)
		bind(t, hears, "$.News", kbusdev.Listener)
		a := node(t, near, 1)
		c := lay(t, a, node(t, far, 2), limpet.Config{})
		pass(time.Second)
		for range 3 {
			sendTo(t, says, &kbusdev.Message{Name: "$.News"})
		}
		pass(time.Second)
		c.pull()
		again := node(t, far, 2) // nobody is told that the other one is dead
		c.plug(again)
		pass(time.Second)
		sendTo(t, says, &kbusdev.Message{Name: "$.News"})
		pass(time.Second)
		st := c.from.Status()
		if st.Epochs != 2 || st.State != limpet.Up {
			t.Errorf("%d epochs, %s: %v", st.Epochs, st.State, st.LastErr)
		}
		if n := len(queuedOn(t, hears)); n != 4 {
			t.Errorf("%d announcements were heard", n)
		}
		lawful(t, true, a, again)
	})
}

// While one epoch makes way for the next, for the peer was started again, programs go on
// announcing: all of it is heard, by the one or the other.
func TestNothingFallsBetweenEpochs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		near, far := membus.New(), membus.New()
		hears, says := open(t, far), open(t, near)
		if _, err := hears.MaxMessages(1 << 20); err != nil {
			t.Fatal(err)
		}
		bind(t, hears, "$.News", kbusdev.Listener)
		a := node(t, near, 1)
		c := lay(t, a, node(t, far, 2), limpet.Config{AllInterest: true})
		pass(time.Second)
		sent := 0
		for range 10 {
			c.pull()
			stop, stopped := make(chan struct{}), make(chan int)
			go func() {
				tick := time.NewTicker(10 * time.Millisecond) // also when the cable is dialled
				defer tick.Stop()
				for n := sent; ; {
					select {
					case <-stop:
						stopped <- n
						return
					case <-tick.C:
					}
					for range 100 {
						sendTo(t, says, &kbusdev.Message{Name: "$.News", Data: []byte(strconv.Itoa(n))})
						n++
						runtime.Gosched()
					}
				}
			}()
			c.plug(node(t, far, 2))
			close(stop)
			sent = <-stopped
			pass(time.Second)
		}
		heard := make(map[string]bool)
		for _, m := range queuedOn(t, hears) {
			heard[string(m.Data)] = true
		}
		for n := range sent {
			if !heard[strconv.Itoa(n)] {
				t.Errorf("of %d announcements number %d was not heard", sent, n)
			}
		}
	})
}

// Totals, drops and the name of a peering outlive its epochs.
func TestTotalsOverEpochs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := newPuppet(t, bus, limpet.Config{Grace: time.Second})
		asker := open(t, bus)
		var before limpet.Counts
		for epoch := uint64(1); epoch <= 4; epoch++ {
			p.dial()
			p.bind(true, "$.Far")
			p.bring(kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: uint32(100 * epoch)}, Name: "$.News"})
			sendTo(t, asker, &kbusdev.Message{Name: "$.News"})
			p.listen(true)
			ask(t, asker, "$.Far")
			p.listen(true)
			sendTo(t, asker, &kbusdev.Message{Name: "$.Lost"})
			p.listen(false)
			lawful(t, false, p.node)
			p.cut()
			sendTo(t, asker, &kbusdev.Message{Name: "$.Lost"})
			pass(2 * time.Second)
			p.restart()
			st := p.status()
			c := st.Counts
			want := limpet.Counts{FromBus: 5 * epoch, FromPeer: 2 * epoch, ToPeer: 3 * epoch}
			if st.Epochs != epoch || c.Requests != epoch || c.Synthetic != epoch || c.FromPeer != want.FromPeer || c.ToPeer != want.ToPeer ||
				c.FromBusEnded["delivered"] != 2*epoch || c.FromBusEnded["link_lost"] != 2*epoch || c.FromPeerEnded["delivered"] != epoch {
				t.Errorf("after epoch %d: %+v", epoch, c)
			}
			if c.FromBus < before.FromBus+4 {
				t.Errorf("after epoch %d: %d read, %d before", epoch, c.FromBus, before.FromBus)
			}
			before = c
			lawful(t, true, p.node)
			drops := p.peering().Drops()
			if uint64(len(drops)) != 2*epoch {
				t.Fatalf("%d drops after %d epochs", len(drops), epoch)
			}
			for i, d := range drops {
				if d.Message.Name != "$.Lost" || d.FromPeer || d.Reason != "link_lost" || d.Message.Data != nil || i > 0 && d.At.Before(drops[i-1].At) {
					t.Errorf("drop %d: %+v", i, d)
				}
			}
		}
	})
}

// The ring of drops keeps the latest.
func TestDropsKeepsTheLatest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(10000))
		p := dialPuppet(t, bus, limpet.Config{Grace: time.Second})
		talker := open(t, bus)
		p.cut()
		for i := range 300 {
			sendTo(t, talker, &kbusdev.Message{Name: fmt.Sprintf("$.Lost.N%d", i), Data: []byte("secret")})
		}
		pass(2 * time.Second)
		drops := p.peering().Drops()
		if len(drops) != 128 {
			t.Fatalf("%d drops", len(drops))
		}
		for i, d := range drops {
			if want := fmt.Sprintf("$.Lost.N%d", 300-128+i); d.Message.Name != want || d.Message.Data != nil {
				t.Errorf("drop %d is %s %q, want %s", i, d.Message.Name, d.Message.Data, want)
			}
		}
		if n := p.status().Counts.FromBusEnded["link_lost"]; n != 300 {
			t.Errorf("%d are counted as lost", n)
		}
	})
}

// A peer that has dialled us is forgotten some time after its last epoch, and not
// before.
func TestPeeringIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPuppet(t, membus.New(), limpet.Config{Grace: time.Second, Forget: 10 * time.Minute})
		p.dial()
		p.cut()
		p.restart()
		p.dial() // the old epoch has ended now
		p.live(9*time.Minute, true)
		p.cut()
		pass(9 * time.Minute)
		if n := len(p.node.Peerings()); n != 1 {
			t.Errorf("%d peerings 9 minutes after the last epoch", n)
		}
		pass(2 * time.Minute)
		if n := len(p.node.Peerings()); n != 0 {
			t.Errorf("%d peerings 11 minutes after the last epoch", n)
		}
		dialled := p.node.NewDialled("stays", limpet.Config{}, false)
		pass(time.Hour)
		if all := p.node.Peerings(); len(all) != 1 || all[0] != dialled {
			t.Errorf("a peering that is configured is forgotten")
		}
	})
}

// A peer that lives but acknowledges nothing is found out in about 10 s, each time it
// dials, and given up after the grace.
func TestStuckPeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{})
		asker := open(t, bus)
		p.bind(true, "$.Far")
		start := time.Now()
		request := ask(t, asker, "$.Far")
		p.live(15*time.Second, false)
		err := <-p.ended
		if !errors.Is(err, link.ErrNoProgress) {
			t.Errorf("the stream ended with %v", err)
		}
		if st := p.status(); st.State != limpet.Detached || st.Since.Sub(start) > 14*time.Second {
			t.Errorf("%s since %v after the request", st.State, st.Since.Sub(start))
		}
		for p.status().State != limpet.Connecting && time.Since(start) < time.Minute {
			p.redial()
			p.live(15*time.Second, false)
		}
		m := received(t, asker)
		if d := time.Since(start); m.InReplyTo != request || m.Name != kbusdev.NameOutcomeUnknown || d > 55*time.Second {
			t.Errorf("after %v the request is answered %s", d, m.Name)
		}
		if err := p.status().LastErr; !errors.Is(err, &link.Error{Code: link.Stalled}) {
			t.Errorf("the peering says %v", err)
		}
		lawful(t, true, p.node)
	})
}

// A slow peer is not a stuck one: it says that it has received nothing yet.
func TestSlowPeerIsNotStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{})
		sendTo(t, open(t, bus), &kbusdev.Message{Name: "$.News"})
		for range 60 {
			p.send(&link.Ping{Received: 0})
			for len(p.stream.(*pipeEnd).in) > 2 { // it reads one frame a second
				_, _ = p.stream.Recv()
			}
			pass(time.Second)
		}
		if st := p.status(); st.State != limpet.Up {
			t.Errorf("%s: %v", st.State, st.LastErr)
		}
	})
}

// What is read while a peer is away for long is bounded, and what is not kept is counted.
func TestALongAbsenceIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(10000))
		p := dialPuppet(t, bus, limpet.Config{WindowMessages: 20, MaxMessages: 200})
		asker, talker := open(t, bus), open(t, bus)
		p.bind(true, "$.Far")
		p.listen(true)
		p.cut()
		pass(6 * time.Second)
		const all = 1000
		for i := range all {
			sendTo(t, talker, &kbusdev.Message{Name: "$.News", Data: fmt.Append(nil, i)})
			synctest.Wait()
		}
		request := ask(t, asker, "$.Far")
		start := time.Now()
		if m := received(t, asker); m.InReplyTo != request || m.Name != kbusdev.NameNotDelivered || time.Since(start) > 200*time.Millisecond {
			t.Errorf("after %v the request is answered %s", time.Since(start), m.Name)
		}
		synctest.Wait()
		c := p.status().Counts
		if c.FromBusInFlight > 20+200+64 || c.FromBusEnded["stalled"] != all-c.FromBusInFlight || c.FromBusEnded["link_down"] != 1 || c.Queued != 0 {
			t.Errorf("%+v", c)
		}
		p.redial()
		for range 20 {
			p.live(time.Second, true)
		}
		for i, m := range p.named("$.News") {
			if string(m.Data) != fmt.Sprint(i) {
				t.Fatalf("announcement %d is %s", i, m.Data)
			}
		}
		if n := uint64(len(p.named("$.News"))); n < 220 || n != p.status().Counts.FromBusEnded["delivered"] {
			t.Errorf("%d announcements were kept", n)
		}
		lawful(t, true, p.node)
	})
}
