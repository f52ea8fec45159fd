package membus_test

import (
	"context"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// A message that was received is the receiver's: whatever it does to it, others that get
// the same one, then or later, get what was sent. An unbind event that was set aside for
// two is given to them at different times.
func TestReceivedMessagesAreTheReceivers(t *testing.T) {
	bus := membus.New()
	noWait, cancel := context.WithCancel(t.Context())
	cancel()
	spoil := func(k kbusdev.Ksock) kbusdev.Message {
		t.Helper()
		m, err := k.Recv(noWait)
		if err != nil {
			t.Fatal(err)
		}
		was := *m
		*m = kbusdev.Message{ID: kbusdev.MsgID{Network: 9, Serial: 9}, Name: "$.Spoiled"}
		return was
	}
	first, second, binder := open(t, bus), open(t, bus), open(t, bus)
	if _, err := first.ReportReplierBinds(kbusdev.On); err != nil {
		t.Fatal(err)
	}
	for _, k := range []kbusdev.Ksock{first, second} {
		if err := k.Bind("$.*", kbusdev.Listener); err != nil {
			t.Fatal(err)
		}
	}
	if err := binder.Bind("$.Ask", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	for _, k := range []kbusdev.Ksock{first, second} { // nobody has room for the event that follows
		if _, err := k.MaxMessages(1); err != nil {
			t.Fatal(err)
		}
	}
	if err := binder.Close(); err != nil {
		t.Fatal(err)
	}
	heard := []kbusdev.Message{spoil(first), spoil(first)} // before the second is given the one that was set aside
	for i := range heard {
		a, b := &heard[i], spoil(second)
		if a.ID != b.ID || a.Name != kbusdev.NameReplierBindEvent || b.Name != a.Name || b.Event == nil || *a.Event != *b.Event {
			t.Errorf("the first gets %v, the second %v", a, &b)
		}
	}
}
