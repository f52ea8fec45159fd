package membus_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// Pages together are the list, also when much has come and gone before.
func TestPagesAreTheList(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		bus := membus.New()
		ks := []kbusdev.Ksock{open(t, bus), open(t, bus)}
		for range rng.IntN(400) {
			k, name := ks[rng.IntN(2)], fmt.Sprintf("$.N%d", rng.IntN(30))
			if rng.IntN(5) < 3 {
				bind(t, k, name, kbusdev.Listener)
			} else {
				_ = k.Unbind(name, kbusdev.Listener)
			}
		}
		want, _ := bus.Bindings()
		for _, k := range ks {
			others := func(b kbusdev.Binding) bool { return b.Ksock != k.ID() }
			own := slices.DeleteFunc(slices.Clone(want), others)
			n, newest := k.(*membus.Ksock).Bound(5)
			if n != len(own) || !slices.Equal(newest, own[:min(5, n)]) {
				t.Errorf("seed %d: of its own %d, the newest %v; want %v", seed, n, newest, own)
			}
		}
		if n, _ := bus.CountBindings(); n != len(want) {
			t.Errorf("seed %d: %d bindings are counted, %d listed", seed, n, len(want))
		}
		most, maxBytes := 1+rng.IntN(20), 1+rng.IntN(100)
		var got []kbusdev.Binding
		for from := uint64(0); ; {
			page, next := bus.PageBindings(from, most, maxBytes)
			if len(page) > most || len(page) == 0 && len(want) > 0 {
				t.Fatalf("seed %d: a page of %d", seed, len(page))
			}
			got = append(got, page...)
			if from = next; from == 0 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: pages %v, list %v", seed, got, want)
		}
	}
}

// What changes between two pages moves nothing else.
func TestPagesAreStable(t *testing.T) {
	bus := membus.New()
	stays, moves := open(t, bus), open(t, bus)
	for i := range 100 {
		bind(t, stays, fmt.Sprintf("$.Stays.N%d", i), kbusdev.Listener)
		bind(t, moves, fmt.Sprintf("$.Moves.N%d", i), kbusdev.Listener)
	}
	var got []string
	round := 0
	for from := uint64(0); ; round++ {
		page, next := bus.PageBindings(from, 7, 1<<20)
		for _, b := range page {
			if b.Ksock == stays.ID() {
				got = append(got, b.Name)
			}
		}
		if from = next; from == 0 {
			break
		}
		for i := range 2 { // the very binding where the next page begins, among others
			_ = moves.Unbind(fmt.Sprintf("$.Moves.N%d", 99-3*round-i), kbusdev.Listener)
		}
		bind(t, moves, "$.New", kbusdev.Listener)
	}
	if len(got) != 100 || got[0] != "$.Stays.N99" || got[99] != "$.Stays.N0" {
		t.Errorf("%d of 100 are told: %v", len(got), got)
	}
}
