package membus_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// bytesEach returns how many bytes of memory each of n takes that f makes.
func bytesEach(n int, f func()) int {
	before := inUse()
	f()
	return (inUse() - before) / n
}

// inUse returns how many bytes of memory are in use when all garbage is gone.
func inUse() int {
	runtime.GC()
	runtime.GC() // for what pools have held
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}

// What a request costs the bus from its sending to its reply. The bounds are at least one
// and a half times what it is.
func TestOpenRequestsAreSmall(t *testing.T) {
	const n = 20_000
	for _, c := range []struct {
		name  string
		read  bool
		gap   int // between the serial numbers of two
		bound int
	}{
		{"not read", false, 1, 512},
		{"read", true, 1, 128},
		{"read, without neighbours", true, 1000, 1024},
	} {
		t.Run(c.name, func(t *testing.T) {
			bus := membus.New(membus.WithMaxMessages(2 * n))
			asker, replier := open(t, bus), open(t, bus)
			bind(t, replier, "$.Ask", kbusdev.Replier)
			each := bytesEach(n, func() {
				for i := range n {
					id := kbusdev.MsgID{Network: 7, Serial: uint32(1 + i*c.gap)}
					send(t, asker, kbusdev.Message{ID: id, Name: "$.Ask", Flags: kbusdev.WantReply})
					if c.read {
						recv(t, replier)
					}
				}
			})
			t.Logf("%d bytes", each)
			if stats := bus.Stats(); stats[0].Awaited != n {
				t.Fatalf("%+v", stats)
			}
			if each > c.bound {
				t.Errorf("%d bytes for each open request, at most %d are right", each, c.bound)
			}
		})
	}
}

// What a Ksock costs the bus, with and without a name bound.
func TestKsocksAreSmall(t *testing.T) {
	const n = 10_000
	for _, c := range []struct {
		name  string
		bound bool
		most  int
	}{
		{"idle", false, 2048},
		{"bound", true, 3072},
	} {
		t.Run(c.name, func(t *testing.T) {
			bus := membus.New()
			each := bytesEach(n, func() {
				for i := range n {
					if k := open(t, bus); c.bound {
						bind(t, k, fmt.Sprintf("$.Some.Name%d", i), kbusdev.Listener)
					}
				}
			})
			t.Logf("%d bytes", each)
			if stats := bus.Stats(); len(stats) != n {
				t.Fatalf("%d Ksocks", len(stats))
			}
			if each > c.most {
				t.Errorf("%d bytes for each Ksock, at most %d are right", each, c.most)
			}
		})
	}
}
