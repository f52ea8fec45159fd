package membus_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

func TestQueueIsBoundedInBytes(t *testing.T) {
	bus := membus.New(membus.WithMaxBytes(1000))
	sender, full := open(t, bus), open(t, bus)
	bind(t, full, "$.A", kbusdev.Listener)
	bind(t, full, "$.Q", kbusdev.Replier)
	big := make([]byte, 5000)
	send(t, sender, kbusdev.Message{Name: "$.A", Data: big}) // an empty queue takes it
	send(t, sender, kbusdev.Message{Name: "$.A", Data: big}) // missed
	for _, c := range []struct {
		m    kbusdev.Message
		want error
	}{
		{kbusdev.Message{Name: "$.A", Flags: kbusdev.AllOrFail}, syscall.EBUSY},
		{kbusdev.Message{Name: "$.Q", Flags: kbusdev.WantReply}, syscall.EBUSY},
	} {
		if _, err := sender.Send(t.Context(), &c.m); !errors.Is(err, c.want) {
			t.Errorf("%s %v: %v, want %v", c.m.Name, c.m.Flags, err, c.want)
		}
	}
	if _, err := full.Send(t.Context(), &kbusdev.Message{Name: "$.Q", Flags: kbusdev.WantReply}); !errors.Is(err, syscall.ENOLCK) {
		t.Errorf("a request of one without room: %v", err)
	}
	if s := bus.Stats()[1]; s.Queued != 1 || s.QueuedBytes != 5003 || s.Missed != 1 {
		t.Errorf("stats are %+v", s)
	}
	if m := recv(t, full); len(m.Data) != len(big) {
		t.Errorf("%d bytes came", len(m.Data))
	}
	send(t, sender, kbusdev.Message{Name: "$.A", Flags: kbusdev.AllOrFail})
	if s := bus.Stats()[1]; s.QueuedBytes != 3 {
		t.Errorf("%d bytes are queued", s.QueuedBytes)
	}
}

// The data of a bind event is a value until somebody reads its bytes.
func TestBindEventCountsItsDataToo(t *testing.T) {
	const size = len(kbusdev.NameReplierBindEvent) + 3*4 + len("$.Q\x00")
	bus := membus.New(membus.WithMaxBytes(size))
	watcher, replier := open(t, bus), open(t, bus)
	if _, err := watcher.ReportReplierBinds(kbusdev.On); err != nil {
		t.Fatal(err)
	}
	bind(t, watcher, kbusdev.NameReplierBindEvent, kbusdev.Listener)
	bind(t, replier, "$.Q", kbusdev.Replier)
	if s := bus.Stats()[0]; s.QueuedBytes != size {
		t.Errorf("%d bytes are queued, want %d", s.QueuedBytes, size)
	}
	if err := replier.Bind("$.R", kbusdev.Replier); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("a bind while the watcher has no room: %v, want EAGAIN", err)
	}
	recv(t, watcher)
	if s := bus.Stats()[0]; s.QueuedBytes != 0 {
		t.Errorf("%d bytes are queued after all was read", s.QueuedBytes)
	}
	bind(t, replier, "$.R", kbusdev.Replier)
}

func TestMissedIsCounted(t *testing.T) {
	bus := membus.New()
	sender, k := open(t, bus), open(t, bus)
	full := k.(*membus.Ksock)
	for range 2 {
		bind(t, full, "$.A", kbusdev.Listener)
	}
	if _, err := full.MaxMessages(1); err != nil {
		t.Fatal(err)
	}
	missed := func(want uint64) {
		t.Helper()
		if n := full.Missed(); n != want {
			t.Errorf("%d missed, want %d", n, want)
		}
	}
	send(t, sender, kbusdev.Message{Name: "$.A"}) // room is judged before: both copies
	missed(0)
	send(t, sender, kbusdev.Message{Name: "$.A"})
	missed(2)
	if _, err := sender.Send(t.Context(), &kbusdev.Message{Name: "$.A", Flags: kbusdev.AllOrFail}); !errors.Is(err, syscall.EBUSY) {
		t.Fatal(err)
	}
	missed(2)
	if _, err := full.OnlyOnce(kbusdev.On); err != nil {
		t.Fatal(err)
	}
	send(t, sender, kbusdev.Message{Name: "$.A"})
	missed(3)
}

func TestFindReplier(t *testing.T) {
	bus := membus.New()
	a, b := open(t, bus), open(t, bus)
	bind(t, a, "$.*", kbusdev.Replier)
	bind(t, b, "$.A.%", kbusdev.Replier)
	bind(t, b, "$.A.B", kbusdev.Listener)
	for name, want := range map[string]kbusdev.Binding{
		"$.A.B":   {Ksock: b.ID(), Role: kbusdev.Replier, Name: "$.A.%"},
		"$.A.B.C": {Ksock: a.ID(), Role: kbusdev.Replier, Name: "$.*"},
		"$.A.*":   {},
		"":        {},
	} {
		got, ok := bus.FindReplier(name)
		if got != want || ok != (want.Ksock != 0) {
			t.Errorf("FindReplier(%q) = %+v %v, want %+v", name, got, ok, want)
		}
	}
}

// All queues of a bus have a bound together. One that nobody reads leaves room for the
// others, and what they share is counted once.
func TestQueuesAreBoundedInAll(t *testing.T) {
	bus := membus.New(membus.WithMaxBytesInAll(10_000))
	sender := open(t, bus)
	data := make([]byte, 97) // 100 with the name
	fill := func(name string) (n int) {
		for ; n < 1000; n++ {
			_, err := sender.Send(t.Context(), &kbusdev.Message{Name: name, Flags: kbusdev.AllOrFail, Data: data})
			if errors.Is(err, syscall.EBUSY) {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	first, second := open(t, bus), open(t, bus)
	bind(t, first, "$.A", kbusdev.Listener)
	bind(t, second, "$.B", kbusdev.Listener)
	if n := fill("$.A"); n != 50 {
		t.Errorf("one that does not read gets %d messages, want half of 100", n)
	}
	if n := fill("$.B"); n != 25 {
		t.Errorf("the next one gets %d messages, want half of what is left", n)
	}
	// Whoever reads has room, however full the bus is.
	for range 20 {
		third := open(t, bus)
		bind(t, third, "$.C", kbusdev.Listener)
	}
	reader := open(t, bus)
	bind(t, reader, "$.D", kbusdev.Listener)
	for range 100 {
		send(t, sender, kbusdev.Message{Name: "$.D", Flags: kbusdev.AllOrFail, Data: data})
		recv(t, reader)
	}
	if n := fill("$.C"); n != 13 {
		t.Errorf("20 listeners get %d messages, want half of what is left, for they share them", n)
	}
	// What is read or thrown away is free again.
	for range 50 {
		recv(t, first)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if n := fill("$.A"); n != 44 {
		t.Errorf("%d messages, want half of what is left beside 13", n)
	}
}
