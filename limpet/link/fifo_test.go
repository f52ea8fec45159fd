package link

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// size returns how many items there is memory for.
func size[T any](s *spares[T], queues ...*fifo[T]) int {
	n := len(*s)
	for _, f := range queues {
		n += len(f.chunks)
	}
	return n * chunkLen
}

// A fifo does what a slice does, and its size follows what is in it.
func TestFifoIsASlice(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var f fifo[int]
		var spare spares[int]
		var twin []int
		grows := 1 // how likely a push is, of 4
		for step := range 20_000 {
			if step%4000 == 0 {
				grows = 1 + rnd.IntN(3)
			}
			switch {
			case rnd.IntN(2000) == 0:
				odd := func(n *int) bool { return *n%2 == 1 }
				f.withdraw(&spare, odd)
				twin = slices.DeleteFunc(twin, func(n int) bool { return odd(&n) })
			case rnd.IntN(4) < grows:
				*f.grow(&spare) = step
				twin = append(twin, step)
			case len(twin) > 0 && rnd.IntN(20) == 0:
				f.dropLast(&spare)
				twin = twin[:len(twin)-1]
			case len(twin) > 0:
				f.drop(&spare)
				twin = twin[1:]
			}
			if f.n != len(twin) || f.n > 0 && (*f.at(0) != twin[0] || *f.at(f.n - 1) != twin[f.n-1]) {
				t.Fatalf("seed %d, step %d: %d items, want %d", seed, step, f.n, len(twin))
			}
			if got := size(&spare, &f); got > f.n+chunkLen*(maxSpare+2) {
				t.Fatalf("seed %d, step %d: memory for %d for %d items", seed, step, got, f.n)
			}
		}
		for i, want := range twin {
			if *f.at(i) != want {
				t.Fatalf("seed %d: item %d is %d, want %d", seed, i, *f.at(i), want)
			}
		}
	}
}

// What has been dropped or withdrawn is not kept alive.
func TestFifoForgets(t *testing.T) {
	var f fifo[*int]
	var spare spares[*int]
	for i := range 40 {
		*f.grow(&spare) = &i
	}
	f.drop(&spare)
	f.withdraw(&spare, func(p **int) bool { return **p%3 == 0 })
	kept := 0
	for _, c := range slices.Concat(f.chunks, spare) {
		for _, p := range c {
			if p != nil {
				kept++
			}
		}
	}
	if kept != f.n || f.n != 26 {
		t.Errorf("the chunks hold %d items, %d are in the queue, want 26", kept, f.n)
	}
}
