package limpet

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Whatever a peer says that it wants, in whatever order, the Ksock's bindings match what
// is wanted within the pattern and what is always heard, and nothing else once all has
// been told; until then they match everything within the pattern. Between two changes
// nothing that is wanted before and after goes unheard.
func TestHearing(t *testing.T) {
	const event, stop = kbusdev.NameReplierBindEvent, "$.A.Stop"
	names := []string{"$.*", "$.%", "$.A", "$.A.*", "$.A.%", "$.A.B", "$.A.B.*", "$.B", "$.B.C", "$.KBUS.*", stop}
	messages := []string{"$.A", "$.A.B", "$.A.B.C", "$.A.C", "$.B", "$.B.C", event, stop}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		pattern := []string{"$.*", "$.A.*", "$.A.B", "$.%"}[seed%4]
		h := newHearing(true, &Config{Pattern: pattern, Termination: stop})
		bound := []string{pattern}
		if !kbusdev.Covers(pattern, event) {
			bound = append(bound, event)
		}
		heard := func(name string) bool {
			return slices.ContainsFunc(bound, func(b string) bool { return kbusdev.Matches(b, name) })
		}
		wanted, whole := make(map[string]bool), false
		hears := func(name string) bool { // whether it must
			within := kbusdev.Matches(pattern, name)
			wants := !whole || name == stop
			for w := range wanted {
				wants = wants || kbusdev.Matches(w, name)
			}
			return name == event || within && wants
		}
		kept := slices.Clone(messages) // what was wanted ever since the last changes were made
		for step := range 60 {
			kept = slices.DeleteFunc(kept, func(m string) bool { return !hears(m) })
			switch name := names[rng.IntN(len(names))]; rng.IntN(8) {
			case 0:
				h.restart()
				clear(wanted)
				whole = false
			case 1:
				h.narrow()
				whole = true
			default:
				if rng.IntN(2) == 0 == !wanted[name] {
					h.want(name, !wanted[name])
					if wanted[name] = !wanted[name]; !wanted[name] {
						delete(wanted, name)
					}
				}
			}
			if kept = slices.DeleteFunc(kept, func(m string) bool { return !hears(m) }); rng.IntN(3) == 0 {
				continue // several at once
			}
			for changes := h.take(); len(changes) > 0; changes = h.take() {
				for _, c := range changes {
					i := slices.Index(bound, c.Name)
					switch {
					case c.Bound:
						bound = append(bound, c.Name)
					case i < 0:
						t.Fatalf("seed %d, step %d: %s is not bound", seed, step, c.Name)
					default:
						bound = slices.Delete(bound, i, i+1)
					}
					for _, m := range kept {
						if !heard(m) {
							t.Fatalf("seed %d, step %d: %s goes unheard", seed, step, m)
						}
					}
				}
			}
			kept = slices.Clone(messages)
			if !h.settled() {
				t.Fatalf("seed %d, step %d: it is never settled", seed, step)
			}
			for _, m := range messages {
				if heard(m) != hears(m) {
					t.Fatalf("seed %d, step %d: %s is heard: %t; bound %q, wanted %v, whole %t, pattern %s", seed, step, m, heard(m), bound, wanted, whole, pattern)
				}
			}
		}
	}
}
