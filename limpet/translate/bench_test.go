package translate_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// The ordinary paths, with one slice of effects used again and again.
func ordinary() map[string]func(m *translate.Machine, fx []translate.Effect) []translate.Effect {
	announcement, brought, q := msg("$.Sensors.Kitchen"), msg("$.Sensors.Kitchen", id(them, 3)), msg("$.Ask", toUs)
	reply := msg("$.Ask", id(them, 50), inReplyTo(us, 7))
	asked, answer := stateful(us, 5), msg("$.Ask", inReplyTo(them, 4), to(own))
	asked.Name = "$.Kitchen"
	bind, unbind := bindEvent(true, 4, "$.Bound"), bindEvent(false, 4, "$.Bound")
	type step = func(m *translate.Machine, fx []translate.Effect) []translate.Effect
	return map[string]step{
		"announcement from bus": func(m *translate.Machine, fx []translate.Effect) []translate.Effect {
			return m.FromBus(fx, announcement)
		},
		"announcement from peer": func(m *translate.Machine, fx []translate.Effect) []translate.Effect {
			return m.FromPeer(fx, brought, translate.Facts{})
		},
		"request from bus": func(m *translate.Machine, fx []translate.Effect) []translate.Effect {
			fx = m.FromPeer(m.FromBus(fx, q), reply, translate.Facts{})
			m.Sent(&fx[len(fx)-1])
			return fx
		},
		"stateful request from peer": func(m *translate.Machine, fx []translate.Effect) []translate.Effect {
			fx = m.FromPeer(fx, asked, translate.Facts{Replier: m.Replier(asked.Name)})
			return m.FromBus(fx, answer)
		},
		"bind and unbind on bus": func(m *translate.Machine, fx []translate.Effect) []translate.Effect {
			return m.FromBus(m.FromBus(fx, bind), unbind)
		},
	}
}

func kitchen() *translate.Machine {
	m := machine(kernelModule)
	m.FromBus(nil, bindEvent(true, 5, "$.Kitchen"))
	return m
}

func TestNoAllocations(t *testing.T) {
	for what, step := range ordinary() {
		t.Run(what, func(t *testing.T) {
			m := kitchen()
			fx := step(m, nil)
			if n := testing.AllocsPerRun(1000, func() { fx = step(m, fx[:0]) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkTranslate(b *testing.B) {
	for what, step := range ordinary() {
		b.Run(what, func(b *testing.B) {
			m := kitchen()
			var fx []translate.Effect
			b.ReportAllocs()
			for b.Loop() {
				fx = step(m, fx[:0])
			}
		})
	}
}

// openRequests opens as many requests each way; those from the peer are all
// stateful ones for Ksock 5, which holds $.Kitchen.
func openRequests(m *translate.Machine, each int) {
	fx := make([]translate.Effect, 0, 1)
	for i := range uint32(each) {
		fx = m.FromBus(fx[:0], msg("$.Ask", toUs, id(0, 1000+i)))
		q := stateful(us, 5)
		q.Name, q.ID.Serial = "$.Kitchen", 1000+i
		fx = m.FromPeer(fx[:0], q, translate.Facts{Replier: 5})
	}
}

// What one more event costs does not depend on how many requests are open.
func BenchmarkOpenRequests(b *testing.B) {
	for _, open := range []int{1, 30_000} {
		for _, binder := range []kbusdev.KsockID{5, 6} {
			b.Run(fmt.Sprintf("unbind by %d with %d open for 5", binder, open), func(b *testing.B) {
				m := kitchen()
				openRequests(m, open)
				bind, unbind := bindEvent(true, binder, "$.Other"), bindEvent(false, binder, "$.Other")
				var fx []translate.Effect
				b.ReportAllocs()
				for b.Loop() {
					fx = m.FromBus(fx[:0], bind)
					fx = m.FromBus(fx[:0], unbind)
					fx = m.Tick(fx[:0], epoch)
				}
			})
		}
	}
}

// An open request costs well under 1 KiB in the ledger and on the watch together.
func TestOpenRequestsAreSmall(t *testing.T) {
	const open = 30_000
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	m := kitchen()
	before := heap()
	openRequests(m, open)
	each := (heap() - before) / open
	t.Logf("%d bytes for one request each way", each)
	if s := m.Stats(); s.Open != open || s.Asked != open {
		t.Fatalf("%+v", s)
	}
	if each > 512 {
		t.Errorf("%d bytes for one request each way, at most 512 are right", each)
	}
}
