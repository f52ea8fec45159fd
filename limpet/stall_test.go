package limpet_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A peer that takes nothing makes the limpet stop reading its bus; when that lasts for
// 5 s, requests are answered, announcements dropped and counted, answers and bind events
// kept, so that nothing is lost in silence and memory is bounded.
func TestStalledPeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(10000))
		p := dialPuppet(t, bus, limpet.Config{WindowMessages: 100, MaxMessages: 1000})
		asker, other := open(t, bus), open(t, bus)
		p.bind(true, "$.Far")
		for range 300 {
			sendTo(t, asker, &kbusdev.Message{Name: "$.News"})
		}
		request := ask(t, asker, "$.Far")
		bind(t, other, "$.Local", kbusdev.Replier)
		synctest.Wait()
		c := p.status().Counts
		if c.FromBus > 200 || c.Queued < 100 {
			t.Errorf("the limpet reads on before the timeout: %+v", c)
		}
		start := time.Now()
		m := received(t, asker)
		if m.InReplyTo != request || m.Name != "$.KBUS.RemoteError.EBUSY" || time.Since(start) != 5*time.Second {
			t.Errorf("after %v the asker gets %+v", time.Since(start), m)
		}
		synctest.Wait()
		c = p.status().Counts
		if c.FromBusEnded["stalled"] < 150 || c.Open != 0 || c.Synthetic != 1 || c.Queued != 0 {
			t.Errorf("while stalled: %+v", c)
		}
		lawful(t, false, p.node)
		// The peer takes messages again, and hears of the binding that was kept.
		p.listen(true)
		told := false
		for _, m := range p.named(kbusdev.NameReplierBindEvent) {
			told = told || m.Event.Name == "$.Local"
		}
		if !told {
			t.Error("the peer is not told of the binding")
		}
		sendTo(t, asker, &kbusdev.Message{Name: "$.After"})
		p.live(time.Second, true)
		if len(p.named("$.After")) != 1 {
			t.Error("the link does not go on after the stall")
		}
		lawful(t, true, p.node)
	})
}

// A stall does not outlive its stream: a peer that comes back has 5 s again.
func TestStallEndsWithTheStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(10000))
		p := dialPuppet(t, bus, limpet.Config{WindowMessages: 10, MaxMessages: 1000})
		talker := open(t, bus)
		for range 20 {
			sendTo(t, talker, &kbusdev.Message{Name: "$.Early"})
		}
		p.listen(false)
		pass(6 * time.Second)
		dropped := p.status().Counts.FromBusEnded["stalled"]
		if dropped == 0 {
			t.Fatal("no stall")
		}
		p.cut()
		pass(time.Second)
		p.redial()
		for range 5 {
			sendTo(t, talker, &kbusdev.Message{Name: "$.Late"})
		}
		pass(time.Second)
		p.live(time.Second, true)
		p.send(&link.Ack{Sequence: p.heard})
		p.live(time.Second, true)
		if n := len(p.named("$.Late")); n != 5 || p.status().Counts.FromBusEnded["stalled"] != dropped {
			t.Errorf("%d of 5 arrive; %d dropped before, %+v", n, dropped, p.status().Counts)
		}
		lawful(t, true, p.node)
	})
}

// What a peer that reads nothing makes us hold is bounded in bytes, whatever it asks for.
func TestMemoryForAPeerThatReadsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(100000), membus.WithMaxMessageSize(400000))
		p := dialPuppet(t, bus, limpet.Config{WindowBytes: 1 << 20, Grace: -1})
		talker, replier := open(t, bus), open(t, bus)
		bind(t, replier, "$.Big", kbusdev.Replier)
		big := make([]byte, 300000)
		held := func() (n uint64) {
			c := p.status().Counts
			return c.FromBusInFlight
		}
		for range 200 {
			sendTo(t, talker, &kbusdev.Message{Name: "$.News", Data: big})
			synctest.Wait()
		}
		if n := held(); n > 5+64 {
			t.Errorf("%d announcements of 300 kB are held, with a window of 1 MiB", n)
		}
		pass(6 * time.Second) // it is stalled now
		if n := held(); n > 5 {
			t.Errorf("%d announcements of 300 kB are held while stalled", n)
		}
		for i := range uint32(200) {
			if p.stream.Send(&link.Batch{First: p.sent + 1, Messages: []kbusdev.Message{{
				ID: kbusdev.MsgID{Network: 2, Serial: i + 1}, From: 7, OrigFrom: kbusdev.Address{Network: 2, Local: 7},
				Name: "$.Big", Flags: kbusdev.WantReply | kbusdev.WantYouToReply,
			}}}) != nil {
				break
			}
			p.sent++
			synctest.Wait()
			for _, q := range queuedOn(t, replier) {
				if _, err := replier.Send(t.Context(), &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: big}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		if n := held(); n > 5+5 {
			t.Errorf("%d answers of 300 kB are held for a peer that reads nothing", n)
		}
		lawful(t, false, p.node)
	})
}

// An announcement that waits for room on the far bus is given up in bounded time.
func TestAllOrWaitIsBoundedOnTheFarBus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(1))
		p := dialPuppet(t, bus, limpet.Config{})
		full := open(t, bus)
		bind(t, full, "$.News", kbusdev.Listener)
		news := func(serial uint32) kbusdev.Message {
			return kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: serial}, Name: "$.News", Flags: kbusdev.AllOrWait}
		}
		p.bring(news(1), news(2), news(3))
		pass(2500 * time.Millisecond)
		c := p.status().Counts
		if c.FromPeerEnded["delivered"] != 1 || c.FromPeerEnded["refused"] != 2 || c.FromPeerInFlight != 0 {
			t.Errorf("%+v", c)
		}
		// One that finds room in time is delivered.
		p.bring(news(4))
		pass(500 * time.Millisecond)
		queuedOn(t, full)
		pass(100 * time.Millisecond)
		if msgs := queuedOn(t, full); len(msgs) != 1 || msgs[0].ID.Serial != 4 {
			t.Errorf("what found room in time: %v", msgs)
		}
	})
}

// ALL_OR_WAIT to a listener that never reads holds up what its sender sends, and
// nothing else: others' announcements arrive, and requests are answered in no time,
// however much there is of both.
func TestOneFullListenerHoldsUpItsSenderOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := membus.New(membus.WithMaxMessages(100000)), membus.New(membus.WithMaxMessages(100000))
		na, nb := node(t, a, 1), node(t, b, 2)
		lay(t, na, nb, limpet.Config{WindowMessages: 1000})
		pass(time.Second)
		deaf, reader, replier := open(t, b), open(t, b), open(t, b)
		if _, err := deaf.MaxMessages(1); err != nil {
			t.Fatal(err)
		}
		bind(t, deaf, "$.Slow", kbusdev.Listener)
		bind(t, reader, "$.News", kbusdev.Listener)
		bind(t, replier, "$.Ask", kbusdev.Replier)
		slow, talker, asker := open(t, a), open(t, a), open(t, a)
		synctest.Wait()
		for range 100 {
			sendTo(t, slow, &kbusdev.Message{Name: "$.Slow", Flags: kbusdev.AllOrWait})
		}
		sendTo(t, slow, &kbusdev.Message{Name: "$.News", Data: []byte("behind")})
		start := time.Now()
		for i := range 100 {
			for j := range 50 {
				sendTo(t, talker, &kbusdev.Message{Name: "$.News", Data: fmt.Append(nil, 50*i+j)})
			}
			ask(t, asker, "$.Ask")
			pass(100 * time.Millisecond)
			q := queuedOn(t, replier)
			if len(q) != 1 {
				t.Fatalf("call %d, after %v: %d requests arrive", i, time.Since(start), len(q))
			}
			sendTo(t, replier, &kbusdev.Message{Name: "$.Ask", To: q[0].From, InReplyTo: q[0].ID})
			synctest.Wait()
			if r := queuedOn(t, asker); len(r) != 1 || r[0].Name != "$.Ask" {
				t.Fatalf("call %d is answered %v", i, r)
			}
		}
		pass(5 * time.Second)
		var got []string
		for _, m := range queuedOn(t, reader) {
			if string(m.Data) == "behind" {
				if len(got) == 0 {
					t.Error("what its sender sent later has overtaken it")
				}
				continue
			}
			got = append(got, string(m.Data))
		}
		for i, data := range got {
			if data != fmt.Sprint(i) {
				t.Fatalf("announcement %d is %s", i, data)
			}
		}
		if len(got) != 5000 {
			t.Errorf("%d of 5000 announcements arrive", len(got))
		}
		c := nb.Peerings()[0].Status().Counts
		if c.FromPeerEnded["refused"] != 99 {
			t.Errorf("%+v", c)
		}
		lawful(t, true, na, nb)
	})
}

// A shortBus does not let queues be raised beyond most, as kbusd with --max-queue.
type shortBus struct {
	kbusdev.Bus
	most uint32
}

type shortKsock struct {
	kbusdev.Ksock
	most uint32
}

func (b *shortBus) Open(mode kbusdev.Mode) (kbusdev.Ksock, error) {
	k, err := b.Bus.Open(mode)
	return &shortKsock{k, b.most}, err
}

func (k *shortKsock) MaxMessages(n uint32) (uint32, error) {
	return k.Ksock.MaxMessages(min(n, k.most))
}

// On a bus whose queues cannot be raised far enough for all repliers the link ends, and
// says why.
func TestMoreRepliersThanAnyQueueTakes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for most, fits := range map[uint32]bool{1000: true, 200: false} {
			bus := membus.New()
			for i := range 250 {
				bind(t, open(t, bus), fmt.Sprintf("$.R%d", i), kbusdev.Replier)
			}
			p := dialPuppet(t, &shortBus{bus, most}, limpet.Config{MaxMessages: 100})
			p.listen(true)
			st := p.status()
			switch {
			case fits && (st.State != limpet.Up || len(p.named(kbusdev.NameReplierBindEvent)) != 250):
				t.Errorf("with queues of %d the link is %s: %v; %d events", most, st.State, st.LastErr, len(p.named(kbusdev.NameReplierBindEvent)))
			case !fits && (!errors.Is(st.LastErr, &link.Error{Code: link.BusFailed}) ||
				!strings.Contains(st.LastErr.Error(), "the bus has more repliers than the 200 messages that its queues can be raised to (kbusd --max-queue)")):
				t.Errorf("with queues of %d the link is %s: %v; %d events", most, st.State, st.LastErr, len(p.named(kbusdev.NameReplierBindEvent)))
			}
			p.cut()
		}
	})
}

// More repliers than the queue is made for, and unbinds that were lost.
func TestSnapshotOfManyRepliers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := membus.New(), membus.New()
		many := open(t, a)
		for i := range 3000 {
			bind(t, many, fmt.Sprintf("$.R%d", i), kbusdev.Replier)
		}
		na, nb := node(t, a, 1), node(t, b, 2)
		lay(t, na, nb, limpet.Config{MaxMessages: 100})
		pass(time.Minute) // binds that find no room for their event are retried
		if n := boundOn(t, b); n != 3000 {
			t.Errorf("%d bindings have crossed", n)
		}
		if err := many.Close(); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if n := boundOn(t, b); n != 0 {
			t.Errorf("%d bindings are left", n)
		}
		lawful(t, true, na, nb)
	})
}

// A program with very many repliers that dies is no reason to end a link.
func TestManyRepliersDie(t *testing.T) {
	bubble(t, func(t *testing.T) {
		names := 5000
		cfg := limpet.Config{MaxMessages: 3000} // less than there are names, so that unbind events are lost
		if isLong() {
			names, cfg.MaxMessages, cfg.MaxNames = 100000, 0, 100001
		}
		a, b := membus.New(membus.WithMaxMessages(10)), membus.New(membus.WithMaxMessages(10))
		na, nb := node(t, a, 1), node(t, b, 2)
		c := lay(t, na, nb, cfg)
		pass(time.Second)
		many, replier, asker := open(t, a), open(t, a), open(t, b)
		bind(t, replier, "$.Stays", kbusdev.Replier)
		for i := range names {
			bind(t, many, fmt.Sprintf("$.R%d", i), kbusdev.Replier)
			if i%1000 == 999 {
				synctest.Wait()
			}
		}
		pass(10 * time.Second)
		if n := boundOn(t, b); n != names+1 {
			t.Fatalf("%d bindings have crossed", n)
		}
		open := make([]kbusdev.MsgID, 9)
		for i := range open {
			open[i] = ask(t, asker, fmt.Sprintf("$.R%d", i))
		}
		synctest.Wait()
		if err := many.Close(); err != nil {
			t.Fatal(err)
		}
		pass(100 * time.Millisecond) // our queue was full: the bus takes no request from us then
		ask(t, asker, "$.Stays")
		synctest.Wait()
		q := queuedOn(t, replier)
		if len(q) != 1 {
			t.Fatalf("%d requests meanwhile", len(q))
		}
		sendTo(t, replier, &kbusdev.Message{Name: "$.Stays", To: q[0].From, InReplyTo: q[0].ID})
		pass(10 * time.Second)
		if n := boundOn(t, b); n != 1 {
			t.Errorf("%d bindings are left", n)
		}
		if n := len(queuedOn(t, asker)); n != 10 {
			t.Errorf("%d of 10 requests are answered", n)
		}
		if st := c.from.Status(); st.State != limpet.Up || st.Epochs != 1 || st.Resumed != 0 {
			t.Errorf("the link is %s, %v", st.State, st.LastErr)
		}
		lawful(t, true, na, nb)
	})
}

// Draining unbinds, lets what is open be answered, and then ends; the peer knows, and
// waits for nobody. So from whichever end it comes.
func TestDrain(t *testing.T) {
	for _, end := range []string{"the asker's end", "the replier's end"} {
		t.Run(end, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a, b := membus.New(), membus.New()
				na, nb := node(t, a, 1), node(t, b, 2)
				c := lay(t, na, nb, limpet.Config{})
				pass(time.Second)
				asker, replier := open(t, a), open(t, b)
				bind(t, replier, "$.Ask", kbusdev.Replier)
				pass(time.Second)
				id := ask(t, asker, "$.Ask")
				q := received(t, replier)
				drained := make(chan struct{})
				drains, other := c.from, nb.Peerings()[0]
				if end == "the replier's end" {
					drains, other = other, drains
				}
				go func() { defer close(drained); drains.Drain(context.Background(), "test") }()
				synctest.Wait()
				c.unplug() // it is not dialled again
				if st := drains.Status(); st.State != limpet.Draining {
					t.Errorf("the state is %s", st.State)
				}
				if _, err := asker.Send(t.Context(), &kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
					t.Errorf("a new request while draining: %v", err)
				}
				pass(2 * time.Second)
				sendTo(t, replier, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: []byte("in time")})
				if m := received(t, asker); m.InReplyTo != id || string(m.Data) != "in time" {
					t.Errorf("the open request is answered %+v", m)
				}
				start := time.Now()
				<-drained
				synctest.Wait()
				if time.Since(start) > time.Second {
					t.Errorf("the drain took %v after all was done", time.Since(start))
				}
				st := other.Status()
				if st.State != limpet.Connecting || !errors.Is(st.LastErr, &link.Error{Code: link.GoingAway}) || !strings.Contains(st.LastErr.Error(), "test") {
					t.Errorf("the other end is %s: %v", st.State, st.LastErr)
				}
				lawful(t, true, na, nb)
			})
		})
	}
}

// A peer that drains and goes without a further word is not waited for; nor is a drain
// kept up by a request that is never answered.
func TestDrainIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{})
		asker := open(t, bus)
		p.bind(true, "$.Far")
		request := ask(t, asker, "$.Far")
		p.send(&link.Drain{Reason: "going"})
		synctest.Wait()
		if _, err := asker.Send(t.Context(), &kbusdev.Message{Name: "$.Far", Flags: kbusdev.WantReply}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("a new request to a peer that drains: %v", err)
		}
		p.cut()
		start := time.Now()
		if m := received(t, asker); m.InReplyTo != request || time.Since(start) > 0 {
			t.Errorf("after %v answered %s", time.Since(start), m.Name)
		}
		lawful(t, true, p.node)

		p.restart()
		p.dial()
		p.bind(true, "$.Far")
		request = ask(t, asker, "$.Far")
		p.listen(true)
		start = time.Now()
		drained := make(chan struct{})
		go func() { defer close(drained); p.peering().Drain(context.Background(), "test") }()
		p.live(6*time.Second, true)
		<-drained
		if m := received(t, asker); m.InReplyTo != request || m.Name != kbusdev.NameOutcomeUnknown {
			t.Errorf("answered %s", m.Name)
		}
		said := false
		for _, f := range p.frames {
			e, ok := f.(*link.Error)
			said = said || ok && e.Code == link.GoingAway
		}
		if !said {
			t.Errorf("the peer is told %v", p.frames)
		}
		if d := time.Since(start); d > 7*time.Second {
			t.Errorf("the drain took %v", d)
		}
		lawful(t, true, p.node)
	})
}
