package membus_test

import (
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// A Ksock that does not hear its own messages hears all others, is the replier of its own
// requests still, and its own full queue does not refuse what it sends.
func TestNotOwn(t *testing.T) {
	bus := membus.New()
	deaf, other := open(t, bus).(*membus.Ksock), open(t, bus).(*membus.Ksock)
	deaf.NotOwn()
	for _, k := range []*membus.Ksock{deaf, other} {
		if err := k.Bind("$.*", kbusdev.Listener); err != nil {
			t.Fatal(err)
		}
	}
	if err := deaf.Bind("$.Ask", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	send := func(k *membus.Ksock, m kbusdev.Message) {
		t.Helper()
		if _, err := k.Send(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
	}
	count := func(k *membus.Ksock, want int) {
		t.Helper()
		if n, err := k.NumMessages(); n != want || err != nil {
			t.Errorf("%v has %d messages, %v, want %d", k, n, err, want)
		}
	}
	send(deaf, kbusdev.Message{Name: "$.News"})
	count(deaf, 0)
	count(other, 1)
	send(other, kbusdev.Message{Name: "$.News"})
	count(deaf, 1)
	count(other, 2)
	send(deaf, kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply})
	count(deaf, 2) // as replier
	count(other, 3)
	if _, err := deaf.MaxMessages(1); err != nil {
		t.Fatal(err)
	}
	send(deaf, kbusdev.Message{Name: "$.News", Flags: kbusdev.AllOrFail})
	count(other, 4)
}
