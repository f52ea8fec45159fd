package membus_test

import (
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// What a bus has done stays counted when the Ksocks are closed, and what it has is gone then.
func TestTotals(t *testing.T) {
	bus := membus.New(membus.WithMaxMessages(2))
	want := membus.Totals{MaxQueuedBytes: membus.DefaultMaxBytesInAll, Missed: map[string]uint64{membus.QueueFull: 0, membus.QueueBytesFull: 0, membus.AllBytesFull: 0}}
	check := func(what string) {
		t.Helper()
		got := bus.Totals()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", what, d)
		}
		var queued, awaited int
		for _, k := range bus.Stats() {
			queued, awaited = queued+k.Queued, awaited+k.Awaited
		}
		if queued != got.Queued || awaited != got.Open {
			t.Errorf("%s: the Ksocks have %d messages queued and %d requests open", what, queued, awaited)
		}
	}
	check("at first")

	sender, slow, other, replier := open(t, bus), open(t, bus), open(t, bus), open(t, bus)
	bind(t, slow, "$.A", kbusdev.Listener)
	bind(t, other, "$.A", kbusdev.Listener)
	bind(t, replier, "$.Q", kbusdev.Replier)
	want.Ksocks, want.Repliers, want.Listeners = 4, 1, 2
	check("four Ksocks")

	for range 3 {
		send(t, sender, kbusdev.Message{Name: "$.A"})
	}
	want.Announcements, want.Queued, want.QueuedBytes = 3, 4, 6 // each of the two messages in two queues
	want.Missed[membus.QueueFull] = 2
	check("full queues")
	recv(t, slow)
	want.Queued = 3
	check("one is read by one")

	for _, m := range []kbusdev.Message{{Name: "$.Nobody", Flags: kbusdev.WantReply}, {Name: "bad"}, {Name: "$.A", Flags: kbusdev.AllOrFail | kbusdev.AllOrWait}} {
		if _, err := sender.Send(t.Context(), &m); err == nil {
			t.Errorf("%v was sent", m)
		}
	}
	want.Refused = map[syscall.Errno]uint64{syscall.EADDRNOTAVAIL: 1, syscall.EBADMSG: 1, syscall.EINVAL: 1}
	check("refused")

	first := send(t, sender, kbusdev.Message{Name: "$.Q", Flags: kbusdev.WantReply})
	send(t, sender, kbusdev.Message{Name: "$.Q", Flags: kbusdev.WantReply})
	want.Requests, want.Open, want.Queued, want.QueuedBytes = 2, 2, 5, 12
	check("two requests")
	recv(t, replier)
	send(t, replier, kbusdev.Message{Name: "$.Q", InReplyTo: first, To: sender.ID()})
	want.Replies, want.Open = 1, 1
	check("one reply")
	if err := replier.Close(); err != nil {
		t.Fatal(err)
	}
	want.Ksocks, want.Repliers, want.Open = 3, 0, 0
	want.QueuedBytes = 6 + 3 + len(kbusdev.NameReplierGoneAway)
	want.Answered = map[string]uint64{kbusdev.NameReplierGoneAway: 1}
	check("the replier has gone")
	for _, k := range []kbusdev.Ksock{slow, other, sender} {
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want.Ksocks, want.Listeners, want.Queued, want.QueuedBytes = 0, 0, 0, 0
	check("in the end")
}

// What was full is told of each copy that is missed.
func TestTotalsTellWhatWasFull(t *testing.T) {
	for reason, opt := range map[string]membus.Option{
		membus.QueueFull:      membus.WithMaxMessages(1),
		membus.QueueBytesFull: membus.WithMaxBytes(500),
		membus.AllBytesFull:   membus.WithMaxBytesInAll(800),
	} {
		bus := membus.New(opt)
		sender, slow := open(t, bus), open(t, bus)
		bind(t, slow, "$.A", kbusdev.Listener)
		for range 2 {
			send(t, sender, kbusdev.Message{Name: "$.A", Data: make([]byte, 600)})
		}
		for _, r := range membus.MissedReasons {
			if n := bus.Totals().Missed[r]; (n == 1) != (r == reason) {
				t.Errorf("with %s, %d were missed because of %s", reason, n, r)
			}
		}
	}
}

// An asker that closes before the reply comes leaves no open request behind.
func TestTotalsForgetWhoAsked(t *testing.T) {
	bus := membus.New()
	asker, replier := open(t, bus), open(t, bus)
	bind(t, replier, "$.Q", kbusdev.Replier)
	send(t, asker, kbusdev.Message{Name: "$.Q", Flags: kbusdev.WantReply})
	if n := bus.Totals().Open; n != 1 {
		t.Errorf("%d requests are open, want 1", n)
	}
	if err := asker.Close(); err != nil {
		t.Fatal(err)
	}
	if n := bus.Totals().Open; n != 0 {
		t.Errorf("%d requests are open, want none", n)
	}
}
