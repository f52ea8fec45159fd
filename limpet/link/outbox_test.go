package link

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// The boxes of a link.
type (
	inboxOfLink  = inbox[kbusdev.Message]
	outboxOfLink = outbox[kbusdev.Message]
	itemOfLink   = item[kbusdev.Message]
)

// put queues messages by name: "u" is URGENT, "a" an answer, "b" a bind event, any
// other is an announcement of our bus.
func put(o *outboxOfLink, names ...string) {
	for _, name := range names {
		addItem(o, named(name))
	}
}

func addItem(o *outboxOfLink, it *itemOfLink) { o.add(&it.OutgoingOf, it.lane, it.at) }

func named(name string) *itemOfLink {
	it := &itemOfLink{OutgoingOf: Outgoing{Msg: kbusdev.Message{Name: name}}}
	switch name[0] {
	case 'u':
		it.FromBus, it.Msg.Flags = true, kbusdev.Urgent
	case 'a':
		it.lane = Answers
	case 'b':
		it.lane = Binds
	default:
		it.FromBus = true
	}
	return it
}

// shows says what a batch is, such as "1: a b"; "none" for none.
func shows(b *Batch) string {
	if b == nil {
		return "none"
	}
	names := make([]string, len(b.Messages))
	for i := range b.Messages {
		names[i] = b.Messages[i].Name
	}
	return fmt.Sprintf("%d: %s", b.First, strings.Join(names, " "))
}

func wantTake(t *testing.T, o *outboxOfLink, want string) {
	t.Helper()
	if got := shows(o.take()); got != want {
		t.Errorf("took %q, want %q", got, want)
	}
}

func wantUsed(t *testing.T, o *outboxOfLink, l Lane, messages, bytes int) {
	t.Helper()
	if got := o.inLane[l]; got.messages != messages || got.bytes != bytes {
		t.Errorf("lane %d holds %d messages and %d bytes, want %d and %d", l, got.messages, got.bytes, messages, bytes)
	}
}

func TestOutboxNumbersInTheOrderOfServing(t *testing.T) {
	o := &outboxOfLink{measure: measureMessage, windowMessages: 8, windowBytes: 1000}
	wantTake(t, o, "none")
	put(o, "n1", "a1", "u1", "n2", "b1", "u2", "b2")
	wantTake(t, o, "1: b1 b2 u1 u2 n1 a1 n2")
	wantTake(t, o, "none")
	put(o, "n3", "u3")
	wantTake(t, o, "8: u3 n3")
}

func TestUrgentOvertakesOnlyWhatWasNeverHanded(t *testing.T) {
	o := &outboxOfLink{measure: measureMessage, windowMessages: 8, windowBytes: 1000}
	put(o, "n1", "n2")
	wantTake(t, o, "1: n1 n2")
	put(o, "n3", "u1", "b1")
	if !o.rewind(1) {
		t.Fatal("the peer may expect 1")
	}
	wantTake(t, o, "1: n1 n2 b1 u1 n3") // the first two keep their numbers
}

func TestOutboxAck(t *testing.T) {
	o := &outboxOfLink{measure: measureMessage, windowMessages: 8, windowBytes: 1000}
	put(o, "n1", "a1", "n2", "n3")
	if o.ack(1) {
		t.Error("what was never sent can be acknowledged")
	}
	wantTake(t, o, "1: n1 a1 n2 n3")
	put(o, "n4")
	for _, c := range []struct {
		seq       uint64
		ok        bool
		acked     uint64
		delivered uint64
	}{
		{0, true, 0, 0}, {2, true, 2, 1}, {1, true, 2, 1}, {2, true, 2, 1}, {5, false, 2, 1}, {1 << 63, false, 2, 1}, {4, true, 4, 3},
	} {
		if ok := o.ack(c.seq); ok != c.ok || o.acked != c.acked || o.delivered != c.delivered || o.unacked.n != 4-int(c.acked) {
			t.Errorf("ack of %d: %v, %d acknowledged, %d delivered", c.seq, ok, o.acked, o.delivered)
		}
	}
	wantUsed(t, o, Normal, 1, 2)
	wantUsed(t, o, Answers, 0, 0)
	if o.unackedBytes != 0 {
		t.Errorf("%d bytes are unacknowledged", o.unackedBytes)
	}
}

func TestOutboxRewind(t *testing.T) {
	o := &outboxOfLink{measure: measureMessage, windowMessages: 8, windowBytes: 1000}
	put(o, "n1", "n2", "n3", "n4")
	wantTake(t, o, "1: n1 n2 n3 n4")
	o.ack(1)
	put(o, "n5")
	for _, next := range []uint64{0, 1, 6, 1<<64 - 1} {
		if o.rewind(next) || o.sent != 4 {
			t.Errorf("the peer cannot expect %d", next)
		}
	}
	for next := uint64(2); next <= 5; next++ {
		if !o.rewind(next) || o.sent != next-1 {
			t.Errorf("the peer may expect %d", next)
		}
		if o.ack(next) {
			t.Errorf("%d is acknowledged, and was not sent on this stream", next)
		}
	}
	o.rewind(3)
	wantTake(t, o, "3: n3 n4 n5")
	o.rewind(6)
	wantTake(t, o, "none")
}

func TestOutboxWithdraw(t *testing.T) {
	o := &outboxOfLink{measure: measureMessage, windowMessages: 8, windowBytes: 1000}
	put(o, "n1", "u1")
	wantTake(t, o, "1: u1 n1")
	put(o, "n2", "u2", "n3", "a2", "b2", "n4")
	var asked []string
	o.withdraw(func(it *itemOfLink) bool {
		asked = append(asked, it.Msg.Name)
		return strings.HasSuffix(it.Msg.Name, "2")
	})
	slices.Sort(asked)
	if got := strings.Join(asked, " "); got != "a2 b2 n2 n3 n4 u2" {
		t.Errorf("asked about %s", got)
	}
	wantUsed(t, o, Normal, 4, 8)
	wantUsed(t, o, Answers, 0, 0)
	wantUsed(t, o, Binds, 0, 0)
	wantTake(t, o, "3: n3 n4")
	o.rewind(1)
	wantTake(t, o, "1: u1 n1 n3 n4")
}

// Every lane is full by messages and by bytes, whichever comes first, and no lane takes
// another one's room.
func TestLanesAreFull(t *testing.T) {
	for _, c := range []struct {
		name        string
		lane        Lane
		maxMessages int
	}{
		{"n", Normal, 8}, {"a", Answers, 32768}, {"b", Binds, 512},
	} {
		o := &outboxOfLink{measure: measureMessage, windowMessages: 8, windowBytes: 1 << 20}
		n := 0
		for ; o.room(c.lane); n++ {
			put(o, c.name)
		}
		if n != c.maxMessages {
			t.Errorf("lane %d takes %d messages, want %d", c.lane, n, c.maxMessages)
		}
		for l := range numLanes {
			if o.room(l) != (l != c.lane) {
				t.Errorf("with lane %d full, room in lane %d is %v", c.lane, l, o.room(l))
			}
		}
		for b := o.take(); b != nil; b = o.take() {
			if o.room(c.lane) {
				t.Errorf("lane %d has room, and nothing is acknowledged", c.lane)
			}
		}
		o.ack(1)
		if !o.room(c.lane) {
			t.Errorf("lane %d has no room after an acknowledgement", c.lane)
		}
		o.ack(uint64(n))
		wantUsed(t, o, c.lane, 0, 0)

		o = &outboxOfLink{measure: measureMessage, windowMessages: 8, windowBytes: 100}
		put(o, c.name+strings.Repeat("x", 98))
		if !o.room(c.lane) {
			t.Errorf("lane %d is full with 99 of 100 bytes", c.lane)
		}
		put(o, c.name)
		if o.room(c.lane) {
			t.Errorf("lane %d has room with 100 of 100 bytes", c.lane)
		}
	}
}

func TestBatchesAreBounded(t *testing.T) {
	o := &outboxOfLink{measure: measureMessage, windowMessages: 10_000, windowBytes: 1 << 30}
	for i := range 1000 {
		it := named("n")
		switch i % 7 {
		case 1:
			it.Msg.Data = make([]byte, 5000)
		case 3:
			it.Msg.Data = make([]byte, MaxBatchBytes+i) // goes alone
		case 5:
			it.lane, it.Msg.Event = Binds, &kbusdev.BindEvent{Name: strings.Repeat("x", i)}
		}
		addItem(o, it)
	}
	put(o, slices.Repeat([]string{"n"}, 1000)...)
	batches, most := 0, 0
	for b := o.take(); b != nil; b = o.take() {
		size := 0
		for i := range b.Messages {
			size += EncodedSize(&b.Messages[i])
		}
		if n := len(b.Messages); n > MaxBatchMessages || n > 1 && size > MaxBatchBytes {
			t.Errorf("a batch of %d messages and %d bytes", n, size)
		}
		batches, most = batches+1, max(most, len(b.Messages))
	}
	if o.sent != 2000 || o.queued() != 0 || most != MaxBatchMessages {
		t.Errorf("%d messages were sent, %d are left, the largest batch has %d", o.sent, o.queued(), most)
	}
	if batches > 500 {
		t.Errorf("%d batches for 2000 messages", batches)
	}
}

// Whatever was put in, no more is handed than a receiver with the same windows takes:
// messages of an epoch with a larger window may be put into one with a smaller one.
func TestNoMoreIsHandedThanTheReceiverTakes(t *testing.T) {
	for _, size := range []int{2, 5000, 40_000} {
		o := &outboxOfLink{measure: measureMessage, windowMessages: 8, windowBytes: 1000}
		x := &inboxOfLink{size: (*kbusdev.Message).Size, windowMessages: 8, windowBytes: 1000}
		name := "n" + strings.Repeat("x", size-1)
		const total = 70_000
		n := min(total, 100<<20/size)
		for range n {
			put(o, name)
		}
		for o.acked < uint64(n) {
			before := x.received
			for b := o.take(); b != nil; b = o.take() {
				if err := x.add(b.Clone()); err != nil {
					t.Fatalf("messages of %d bytes: %v", size, err)
				}
			}
			if x.received == before {
				t.Fatalf("messages of %d bytes: no more is sent after %d of %d", size, x.received, n)
			}
			for x.waiting > 0 {
				first, msgs := x.take(n)
				for i := range msgs {
					x.decided(first+uint64(i), msgs[i].Size())
				}
			}
			o.ack(x.done)
		}
	}
	// One message alone may be larger than any bound.
	o := &outboxOfLink{measure: measureMessage, windowMessages: 8, windowBytes: 1000}
	put(o, "n"+strings.Repeat("x", 4<<20))
	if b := o.take(); b == nil {
		t.Error("a very large message is never sent")
	}
}

// After a burst there is no more memory in use than after a few messages.
func TestMemoryIsGivenBack(t *testing.T) {
	o := &outboxOfLink{measure: measureMessage, windowMessages: 1 << 20, windowBytes: 1 << 30}
	memory := func() (n int) {
		return size(&o.spare, &o.queues[0], &o.queues[1], &o.queues[2], &o.unacked)
	}
	put(o, slices.Repeat([]string{"n", "u", "a"}, 20_000)...)
	for b := o.take(); b != nil; b = o.take() {
		continue
	}
	if memory() < 60_000 {
		t.Fatalf("60000 messages are in memory for %d", memory())
	}
	o.ack(o.sent - 10) // it is never quite empty
	if memory() > chunkLen*(maxSpare+8) {
		t.Errorf("memory for %d is kept for 10 messages", memory())
	}
	put(o, slices.Repeat([]string{"n", "u", "a"}, 20_000)...)
	o.withdraw(func(*itemOfLink) bool { return true })
	if memory() > chunkLen*(maxSpare+8) {
		t.Errorf("memory for %d is kept after all was withdrawn", memory())
	}
	put(o, "n")
	for b := o.take(); b != nil; b = o.take() {
		continue
	}
	o.ack(o.sent)
	if o.rest(); memory() != 0 {
		t.Errorf("memory for %d is kept at rest", memory())
	}
	put(o, "n")
	if b := o.take(); b == nil || b.First != o.sent {
		t.Errorf("%v is sent after a rest", b)
	}
}

func TestOutboxKnowsTheOldest(t *testing.T) {
	o := &outboxOfLink{measure: measureMessage, windowMessages: 8, windowBytes: 1000}
	start := time.Unix(1000, 0)
	want := func(second int64) {
		t.Helper()
		var at time.Time
		if second > 0 {
			at = start.Add(time.Duration(second) * time.Second)
		}
		if got := o.oldest(); !got.Equal(at) {
			t.Errorf("the oldest is of %v, want %v", got, at)
		}
	}
	want(0)
	for i, name := range []string{"n1", "n2", "b1", "u1"} {
		it := named(name)
		it.at = start.Add(time.Duration(i+1) * time.Second)
		addItem(o, it)
		want(1)
	}
	wantTake(t, o, "1: b1 u1 n1 n2")
	want(3) // of those that were handed together any of them
	o.ack(2)
	want(1)
	o.ack(3)
	want(2)
	o.ack(4)
	want(0)
}
