package table_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/table"
)

// repliersTwin is Repliers as a list, oldest first.
type repliersTwin []kbusdev.BindEvent

func (w *repliersTwin) bind(name string, binder kbusdev.KsockID, old bool) {
	e := kbusdev.BindEvent{Bound: true, Binder: binder, Name: name}
	if slices.Contains(*w, e) {
		return
	}
	*w = slices.DeleteFunc(*w, func(b kbusdev.BindEvent) bool { return b.Name == name })
	if old {
		*w = slices.Insert(*w, 0, e)
	} else {
		*w = append(*w, e)
	}
}

func (w *repliersTwin) unbind(name string, binder kbusdev.KsockID) {
	*w = slices.DeleteFunc(*w, func(b kbusdev.BindEvent) bool { return b.Name == name && b.Binder == binder })
}

func (w repliersTwin) lookup(name string) kbusdev.KsockID {
	var best kbusdev.BindEvent
	for _, b := range w {
		if kbusdev.Matches(b.Name, name) && (best.Binder == 0 || kbusdev.Specificity(b.Name) >= kbusdev.Specificity(best.Name)) {
			best = b
		}
	}
	return best.Binder
}

func (w repliersTwin) names(binder kbusdev.KsockID) []string {
	var names []string
	for _, b := range w {
		if b.Binder == binder {
			names = append(names, b.Name)
		}
	}
	slices.Sort(names)
	return names
}

// anyName makes names of few words, so that they meet often.
func anyName(rng *rand.Rand, wildcard bool) string {
	words := []string{"A", "B", "AB"}
	name := "$"
	for range 1 + rng.IntN(4) {
		name += "." + words[rng.IntN(len(words))]
	}
	if wildcard {
		switch rng.IntN(4) {
		case 0:
			name = name[:strings.LastIndexByte(name, '.')] + ".*"
		case 1:
			name = name[:strings.LastIndexByte(name, '.')] + ".%"
		}
	}
	return name
}

func TestRepliersTwin(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(3, seed))
		r, w := table.NewRepliers(), repliersTwin{}
		var mentioned []kbusdev.BindEvent // since the snapshot began
		for step := range 500 {
			name, binder := anyName(rng, true), kbusdev.KsockID(1+rng.IntN(5))
			switch op := rng.IntN(20); {
			case op < 10:
				before := kbusdev.KsockID(0)
				for _, b := range w {
					if b.Name == name {
						before = b.Binder
					}
				}
				old := rng.IntN(4) == 0
				w.bind(name, binder, old)
				if got := r.Bind(name, binder, old); got != before {
					t.Fatalf("seed %d step %d: binding %s: %d was before, want %d", seed, step, name, got, before)
				}
				mentioned = append(mentioned, kbusdev.BindEvent{Bound: true, Binder: binder, Name: name})
			case op < 18:
				want := slices.Contains(w, kbusdev.BindEvent{Bound: true, Binder: binder, Name: name})
				w.unbind(name, binder)
				if got := r.Unbind(name, binder); got != want {
					t.Fatalf("seed %d step %d: unbinding %s of %d: %v, want %v", seed, step, name, binder, got, want)
				}
			case op == 18:
				r.BeginSnapshot()
				mentioned = nil
			default:
				var want []kbusdev.BindEvent
				for _, b := range w {
					if !slices.Contains(mentioned, b) && step > 0 && mentioned != nil {
						want = append(want, kbusdev.BindEvent{Binder: b.Binder, Name: b.Name})
					}
				}
				if mentioned == nil {
					break
				}
				if got := r.EndSnapshot(); !slices.Equal(got, want) {
					t.Fatalf("seed %d step %d: not in the snapshot: %v, want %v", seed, step, got, want)
				}
			}
			for range 5 {
				name := anyName(rng, false)
				if got, want := r.Lookup(name), w.lookup(name); got != want {
					t.Fatalf("seed %d step %d: %s is replied to by %d, want %d, of %v", seed, step, name, got, want, w)
				}
			}
			for binder := range kbusdev.KsockID(7) {
				got, want := r.Names(binder), w.names(binder)
				slices.Sort(got)
				if !slices.Equal(got, want) || r.Has(binder) != (len(want) > 0) {
					t.Fatalf("seed %d step %d: names of %d: %v (has %v), want %v", seed, step, binder, got, r.Has(binder), want)
				}
			}
			if got := r.All(); !slices.Equal(got, w) || r.Len() != len(w) {
				t.Fatalf("seed %d step %d: all %v, want %v", seed, step, got, w)
			}
			if got, want := r.Bound(name) != 0, slices.ContainsFunc(w, func(b kbusdev.BindEvent) bool { return b.Name == name }); got != want {
				t.Fatalf("seed %d step %d: %s bound %v, want %v", seed, step, name, got, want)
			}
		}
	}
}

// Wildcards that come and go leave nothing behind.
func TestRepliersMemory(t *testing.T) {
	r := table.NewRepliers()
	before := heap()
	for i := range 50_000 {
		name := fmt.Sprintf("$.Comes.N%d.And.Goes.*", i)
		r.Bind(name, 7, false)
		r.Unbind(name, 7)
	}
	if grown := heap() - before; r.Len() != 0 || grown > 1<<20 {
		t.Errorf("%d bindings in %d KiB, want none in next to nothing", r.Len(), grown>>10)
	}
	runtime.KeepAlive(r)
}

// Lookup costs the same with many bindings, also with many wildcards on the way.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		for kind, format := range map[string]string{"exact": "$.Some.N%d", "star": "$.Some.N%d.*"} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				r := table.NewRepliers()
				for i := range n {
					r.Bind(fmt.Sprintf(format, i), 7, false)
				}
				name := strings.Replace(fmt.Sprintf(format, 5), "*", "Request", 1)
				for b.Loop() {
					if r.Lookup(name) != 7 {
						b.Fatal("not found")
					}
				}
			})
		}
	}
}

// Bind and Unbind cost the same with many bindings of one Ksock.
func BenchmarkBindUnbind(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := table.NewRepliers()
			for i := range n {
				r.Bind(fmt.Sprintf("$.Some.N%d", i), 7, false)
			}
			for b.Loop() {
				r.Bind("$.Some.Other", 7, false)
				r.Unbind("$.Some.Other", 7)
			}
		})
	}
}
