package membus_test

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// Who stops listening to a name keeps what came through it, in its place in the queue,
// and hears no more; what it listens to besides is left alone.
func TestStopListening(t *testing.T) {
	bus := membus.New()
	k, other := open(t, bus).(*membus.Ksock), open(t, bus)
	bind := func(name string) {
		t.Helper()
		if err := k.Bind(name, kbusdev.Listener); err != nil {
			t.Fatal(err)
		}
	}
	stop := func(name string) {
		t.Helper()
		if err := k.StopListening(name); err != nil {
			t.Fatal(err)
		}
	}
	say := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if _, err := other.Send(t.Context(), &kbusdev.Message{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := k.OnlyOnce(kbusdev.On); err != nil {
		t.Fatal(err)
	}
	bind("$.*")
	say("$.A", "$.B")
	bind("$.A")
	bind("$.A")
	say("$.A", "$.C") // one copy, by the newest
	stop("$.A")
	stop("$.*")
	say("$.A", "$.B")
	stop("$.A")
	say("$.A")
	if err := k.StopListening("$.A"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a name that it does not listen to: %v", err)
	}
	if err := k.StopListening("A"); err == nil {
		t.Error("what is no name is taken")
	}
	want := []string{"$.A", "$.B", "$.A", "$.C", "$.A"}
	for i, name := range want {
		m, err := k.Recv(t.Context())
		if err != nil || m.Name != name {
			t.Fatalf("message %d is %v, %v, want %s", i, m, err, name)
		}
	}
	if n, err := k.NumMessages(); n != 0 || err != nil {
		t.Errorf("%d more are queued, %v", n, err)
	}
	bind("$.A")
	say("$.A")
	if n, _ := k.NumMessages(); n != 1 {
		t.Errorf("%d are queued after it listens again", n)
	}
	if err := k.Unbind("$.A", kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	if n, _ := k.NumMessages(); n != 0 {
		t.Errorf("%d are queued after an unbind", n)
	}
}

// A send that waits for room at a Ksock goes on when that one does not listen any more.
func TestStopListeningLetsASendGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		k := open(t, bus).(*membus.Ksock)
		if err := k.Bind("$.*", kbusdev.Listener); err != nil {
			t.Fatal(err)
		}
		fill(t, bus, k, "$.A")
		s := sending(t, open(t, bus), kbusdev.Message{Name: "$.A"})
		waits(t, "no room", s)
		if err := k.StopListening("$.*"); err != nil {
			t.Fatal(err)
		}
		finished(t, "nobody listens", s)
	})
}
