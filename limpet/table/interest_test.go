package table_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/table"
)

// interestTwin is a list of (source, name), each as often as it was added.
type interestTwin []sourceName

type sourceName struct {
	source table.Source
	name   string
}

func (w interestTwin) wants(except table.Source, name string) bool {
	return slices.ContainsFunc(w, func(n sourceName) bool { return n.source != except && kbusdev.Matches(n.name, name) })
}

func (w interestTwin) told(link table.Source) map[string]bool {
	told := map[string]bool{}
	for _, n := range w {
		if n.source != link {
			told[n.name] = true
		}
	}
	return told
}

// TestInterestTwin also keeps, for each link, what its peer knows from the changes
// alone: that must be what a new link would be told.
func TestInterestTwin(t *testing.T) {
	const sources = 5
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(4, seed))
		i, w := table.NewInterest(), interestTwin{}
		var knows [sources]map[string]bool
		for s := range knows {
			knows[s] = map[string]bool{}
		}
		hear := func(step int, changes ...table.Change) {
			for _, c := range changes {
				for s := range table.Source(sources) {
					if !c.Concerns(s) {
						continue
					}
					if knows[s][c.Name] == c.Wanted {
						t.Fatalf("seed %d step %d: link %d is told what it knows: %+v", seed, step, s, c)
					}
					if c.Wanted {
						knows[s][c.Name] = true
					} else {
						delete(knows[s], c.Name)
					}
				}
			}
		}
		for step := range 500 {
			source, name := table.Source(rng.IntN(sources)), anyName(rng, true)
			switch op := rng.IntN(20); {
			case op < 10:
				w = append(w, sourceName{source, name})
				if c, changed := i.Add(source, name); changed {
					hear(step, c)
				}
			case op < 19:
				if len(w) > 0 && rng.IntN(4) > 0 { // mostly one that is there
					n := w[rng.IntN(len(w))]
					source, name = n.source, n.name
				}
				if at := slices.Index(w, sourceName{source, name}); at >= 0 {
					w = slices.Delete(w, at, at+1)
				}
				if c, changed := i.Remove(source, name); changed {
					hear(step, c)
				}
			default:
				w = slices.DeleteFunc(w, func(n sourceName) bool { return n.source == source })
				hear(step, i.Drop(source)...)
			}
			for s := range table.Source(sources) {
				want := w.told(s)
				if !maps.Equal(knows[s], want) {
					t.Fatalf("seed %d step %d: the peer of link %d knows %v, want %v", seed, step, s, knows[s], want)
				}
				if got, want := i.For(s), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
					t.Fatalf("seed %d step %d: for link %d: %v, want %v", seed, step, s, got, want)
				}
				names := map[string]bool{}
				for _, n := range w {
					if n.source == s {
						names[n.name] = true
					}
				}
				if got := i.Len(s); got != len(names) {
					t.Fatalf("seed %d step %d: source %d wants %d names, want %d", seed, step, s, got, len(names))
				}
				name := anyName(rng, false)
				if got, want := i.Wants(s, name), w.wants(s, name); got != want {
					t.Fatalf("seed %d step %d: %s wanted beside %d: %v, want %v", seed, step, name, s, got, want)
				}
			}
		}
	}
}

// A hub asks for every message and link: it must cost the same with many names.
func BenchmarkWants(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			i := table.NewInterest()
			for k := range n {
				i.Add(table.Source(k%100), fmt.Sprintf("$.Some.N%d.*", k))
			}
			for b.Loop() {
				if !i.Wants(3, "$.Some.N5.Event") {
					b.Fatal("not wanted")
				}
			}
		})
	}
}
