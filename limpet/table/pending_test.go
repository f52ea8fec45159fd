package table_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/table"
)

// ev makes "+1 $.A" a bind of $.A by 1, "-1 $.A" its unbind; "l" before it a listener's.
func ev(t testing.TB, s string) table.Event {
	e := table.Event{}
	if s[0] == 'l' {
		e.Listener, s = true, s[1:]
	}
	var n int
	if _, err := fmt.Sscanf(s, "%d %s", &n, &e.Name); err != nil {
		t.Fatal(err)
	}
	e.Bound = n > 0
	e.Binder = kbusdev.KsockID(max(n, -n))
	return e
}

func evs(t testing.TB, all ...string) (events []table.Event) {
	for _, s := range all {
		events = append(events, ev(t, s))
	}
	return events
}

func TestPendingRules(t *testing.T) {
	for _, c := range []struct {
		name      string
		add, want []string
	}{
		{"in order", []string{"+1 $.A", "+1 $.B", "l+2 $.A"}, []string{"+1 $.A", "+1 $.B", "l+2 $.A"}},
		{"a bind and its unbind cancel", []string{"+1 $.A", "+2 $.B", "-1 $.A"}, []string{"+2 $.B"}},
		{"an unbind and another's bind stay", []string{"-1 $.A", "+2 $.A"}, []string{"-1 $.A", "+2 $.A"}},
		{"an unbind and the same one's bind stay", []string{"-1 $.A", "+1 $.A"}, []string{"-1 $.A", "+1 $.A"}},
		{"no more than two", []string{"-1 $.A", "+2 $.A", "-2 $.A", "+3 $.A", "-3 $.A", "+4 $.A"}, []string{"-1 $.A", "+4 $.A"}},
		{"the unbind is left", []string{"-1 $.A", "+2 $.A", "-2 $.A"}, []string{"-1 $.A"}},
		{"the latest bind is the newest", []string{"+1 $.A.*", "+2 $.B.*", "-1 $.A.*", "+1 $.A.*"}, []string{"+2 $.B.*", "+1 $.A.*"}},
		{"a lost unbind", []string{"+1 $.A", "+2 $.A"}, []string{"+2 $.A"}},
		{"a late unbind does not undo the bind", []string{"+2 $.A", "-1 $.A"}, []string{"-1 $.A", "+2 $.A"}},
		{"late unbinds", []string{"+3 $.A", "-1 $.A", "-2 $.A"}, []string{"-1 $.A", "+3 $.A"}},
		{"two unbinds", []string{"-1 $.A", "-2 $.A"}, []string{"-2 $.A"}},
		{"roles are apart", []string{"+1 $.A", "l-1 $.A"}, []string{"+1 $.A", "l-1 $.A"}},
		{"a listener that came back", []string{"l-1 $.A", "l+1 $.A"}, nil},
		{"a listener that went", []string{"l+1 $.A", "l-1 $.A"}, nil},
		{"listeners are apart", []string{"l+1 $.A", "l-2 $.A"}, []string{"l+1 $.A", "l-2 $.A"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := table.NewPending()
			for _, e := range evs(t, c.add...) {
				p.Add(e)
			}
			if p.Len() != len(c.want) {
				t.Errorf("%d wait, want %d", p.Len(), len(c.want))
			}
			if got, want := p.Take(100), evs(t, c.want...); !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			if p.Len() != 0 || p.Take(1) != nil {
				t.Error("something is left")
			}
		})
	}
}

// What was taken counts as told: its unbind is not cancelled.
func TestPendingTake(t *testing.T) {
	p := table.NewPending()
	for _, e := range evs(t, "-1 $.A", "+2 $.A", "+3 $.B") {
		p.Add(e)
	}
	if got, want := p.Take(2), evs(t, "-1 $.A", "+2 $.A"); !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	p.Add(ev(t, "-2 $.A"))
	p.Add(ev(t, "-3 $.B"))
	if got, want := p.Take(0), []table.Event(nil); !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	if got, want := p.Take(9), evs(t, "-2 $.A"); !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

// TestPendingTwin tells a peer of what happens on a bus, through a Pending that is
// taken from now and then. Told all, the peer must know what is bound, and by whom,
// and what was bound last; it must never be told to unbind what it does not hold.
func TestPendingTwin(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(6, seed))
		p := table.NewPending()
		bus, peer := map[table.Event]kbusdev.KsockID{}, map[table.Event]kbusdev.KsockID{} // by role and name
		var busOrder, peerOrder []table.Event                                             // oldest first
		apply := func(m map[table.Event]kbusdev.KsockID, order *[]table.Event, e table.Event) {
			key := table.Event{Listener: e.Listener, Name: e.Name}
			*order = slices.DeleteFunc(*order, func(o table.Event) bool { return o == key })
			if e.Bound {
				m[key] = e.Binder
				if !e.Listener {
					*order = append(*order, key)
				}
			} else {
				delete(m, key)
			}
		}
		tell := func(step, most int) {
			for _, e := range p.Take(most) {
				key := table.Event{Listener: e.Listener, Name: e.Name}
				if holder, held := peer[key]; !e.Bound && (!held || holder != e.Binder) || e.Bound && held {
					t.Fatalf("seed %d step %d: the peer is told %+v, but %d holds it", seed, step, e, holder)
				}
				apply(peer, &peerOrder, e)
			}
		}
		for step := range 300 {
			e := table.Event{Listener: rng.IntN(3) == 0, Name: fmt.Sprintf("$.N%d", rng.IntN(6))}
			holder, held := bus[e]
			e.Bound = !held
			if e.Binder = holder; !held && !e.Listener {
				e.Binder = kbusdev.KsockID(1 + rng.IntN(3))
			}
			apply(bus, &busOrder, e)
			p.Add(e)
			if p.Len() > 2*6+6 {
				t.Fatalf("seed %d step %d: %d events wait for 6 names", seed, step, p.Len())
			}
			if rng.IntN(8) == 0 {
				tell(step, rng.IntN(6))
			}
			if rng.IntN(30) == 0 {
				tell(step, p.Len())
				if len(bus) != len(peer) || !slices.Equal(busOrder, peerOrder) {
					t.Fatalf("seed %d step %d: the peer knows %v, want %v", seed, step, peer, bus)
				}
				for key, holder := range bus {
					if got, ok := peer[key]; !ok || got != holder {
						t.Fatalf("seed %d step %d: the peer knows %d for %v, want %d", seed, step, got, key, holder)
					}
				}
			}
		}
	}
}

// Names that come and go while a peer takes nothing leave nothing behind.
func TestPendingMemory(t *testing.T) {
	p := table.NewPending()
	p.Add(ev(t, "+1 $.Stays"))
	before := heap()
	for i := range 300_000 {
		e := ev(t, "+1 $.Comes")
		e.Name = fmt.Sprintf("$.Comes.N%d", i)
		p.Add(e)
		e.Bound = false
		p.Add(e)
	}
	if grown := heap() - before; p.Len() != 1 || grown > 1<<20 {
		t.Errorf("%d events wait in %d KiB, want 1 in next to nothing", p.Len(), grown>>10)
	}
	runtime.KeepAlive(p)
}

// What a burst has needed is given back after it.
func TestPendingGivesMemoryBack(t *testing.T) {
	p := table.NewPending()
	before := heap()
	for _, bound := range []bool{true, false} {
		for i := range 100_000 {
			p.Add(table.Event{Bound: bound, Binder: 1, Name: fmt.Sprintf("$.Burst.N%d", i)})
		}
	}
	if grown := heap() - before; p.Len() != 0 || grown > 1<<20 {
		t.Errorf("%d events wait in %d KiB, want none in next to nothing", p.Len(), grown>>10)
	}
	runtime.KeepAlive(p)
}

func heap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func BenchmarkPending(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := table.NewPending()
			for i := range n {
				p.Add(table.Event{Bound: true, Binder: 1, Name: fmt.Sprintf("$.Some.N%d", i)})
			}
			for b.Loop() {
				p.Add(table.Event{Bound: true, Binder: 1, Name: "$.Other"})
				p.Add(table.Event{Binder: 1, Name: "$.Other"})
			}
		})
	}
}
