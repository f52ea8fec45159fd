package limpet_test

import (
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
)

// What a request costs that is open across a link: both buses, both limpets, and what the
// link itself keeps, together.
func TestOpenRequestsAreSmall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n, most = 20_000, 1024
		here, there := membus.New(membus.WithMaxMessages(2*n)), membus.New(membus.WithMaxMessages(2*n))
		a, b := node(t, here, 1), node(t, there, 2)
		join(t, a, b, limpet.Config{})
		replier, asker := open(t, there), open(t, here)
		bind(t, replier, "$.Far", kbusdev.Replier)
		synctest.Wait() // until the name is bound for the peer
		askMany := func(n int) {
			for i := range n {
				ask(t, asker, "$.Far")
				if i%100 == 0 {
					synctest.Wait()
				}
			}
			for range n {
				received(t, replier)
			}
			synctest.Wait()
		}
		askMany(100) // what is made once
		before := inUse()
		askMany(n)
		each := (inUse() - before) / n
		t.Logf("%d bytes", each)
		if c := a.Peerings()[0].Status().Counts; c.Open != n+100 {
			t.Fatalf("%+v", c)
		}
		if each > most {
			t.Errorf("%d bytes for each open request, at most %d are right", each, most)
		}
	})
}

// inUse returns how many bytes of memory are in use when all garbage is gone.
func inUse() int {
	runtime.GC()
	runtime.GC() // for what pools have held
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}
