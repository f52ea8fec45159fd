package membus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// The slow twin: judge every binding of the bus, newest first.
func slowLookup(x *index, name string) (replier *binding, listeners []*binding) {
	for b := x.newest; b != nil; b = b.older {
		if !kbusdev.Matches(b.name, name) {
			continue
		}
		if b.role == kbusdev.Listener {
			listeners = append(listeners, b)
		} else if replier == nil || kbusdev.Specificity(b.name) > kbusdev.Specificity(replier.name) {
			replier = b
		}
	}
	return replier, listeners
}

func slowFind(x *index, k *Ksock, role kbusdev.Role, name string) *binding {
	for b := x.newest; b != nil; b = b.older {
		if b.ksock == k && b.role == role && b.name == name {
			return b
		}
	}
	return nil
}

func TestLookupAgainstSlowTwin(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	name := func(wild bool) string {
		s := "$"
		for range 1 + r.IntN(4) {
			s += "." + string(rune('A'+r.IntN(3)))
		}
		if wild {
			switch r.IntN(4) {
			case 0:
				s += ".*"
			case 1:
				s += ".%"
			case 2:
				s = []string{"$.*", "$.%"}[r.IntN(2)]
			}
		}
		return s
	}
	x := newIndex()
	ksocks := make([]*Ksock, 5)
	for i := range ksocks {
		ksocks[i] = &Ksock{id: kbusdev.KsockID(i + 1)}
	}
	var bound []*binding
	var got recipients
	for step := range 20000 {
		switch n := r.IntN(3); {
		case n == 0 && len(bound) < 200:
			role, s := kbusdev.Role(r.IntN(2) == 0), name(true)
			if role == kbusdev.Replier && x.replierOf(s) != nil {
				continue
			}
			bound = append(bound, x.add(ksocks[r.IntN(len(ksocks))], role, s))
		case n == 1 && len(bound) > 0:
			b := bound[r.IntN(len(bound))]
			b = x.find(b.ksock, b.role, b.name)
			if want := slowFind(x, b.ksock, b.role, b.name); b != want {
				t.Fatalf("step %d: find gives %v, slow twin %v", step, b, want)
			}
			x.remove(b)
			bound = slices.DeleteFunc(bound, func(o *binding) bool { return o == b })
		default:
			s := name(false)
			x.lookup(s, &got)
			replier, listeners := slowLookup(x, s)
			if x.replierFor(s) != replier || got.replier != replier || fmt.Sprint(got.listeners) != fmt.Sprint(listeners) {
				t.Fatalf("step %d: lookup(%q) = %v %v, slow twin %v %v", step, s, got.replier, got.listeners, replier, listeners)
			}
		}
	}
	for _, k := range ksocks {
		for k.bound.newest != nil {
			x.remove(k.bound.newest)
		}
		if len(k.bound.listening) != 0 {
			t.Errorf("a Ksock without bindings listens to %v", k.bound.listening)
		}
	}
	if x.count != 0 || x.newest != nil || x.oldest != nil || !x.root.empty() {
		t.Errorf("something is left when all is unbound: %+v", x)
	}
}

// Finding the recipients of a name: flat from 10 to 100 000 bindings.
func BenchmarkLookup(b *testing.B) {
	for _, kind := range []string{"exact", "wildcard"} {
		for _, n := range []int{10, 1_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				x := newIndex()
				k := &Ksock{id: 1}
				for i := range n {
					s := fmt.Sprintf("$.Sensors.Room%d.Temp", i)
					if kind == "wildcard" {
						s = fmt.Sprintf("$.Sensors.Room%d.*", i)
					}
					x.add(k, kbusdev.Listener, s)
				}
				var r recipients
				b.ReportAllocs()
				for b.Loop() {
					x.lookup("$.Sensors.Room5.Temp", &r)
				}
				if len(r.listeners) != 1 {
					b.Fatalf("%d listeners found", len(r.listeners))
				}
			})
		}
	}
}
