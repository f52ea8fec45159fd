package membus

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// The slow twin is a map.
func TestIDMapAgainstAMap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var m idMap[int]
	twin := make(map[kbusdev.MsgID]int)
	for step := range 20000 {
		id := kbusdev.MsgID{Network: uint32(r.IntN(2)), Serial: uint32(r.IntN(6 * blockLen))}
		if got := m.get(id); got != twin[id] {
			t.Fatalf("step %d: %v gives %d, want %d", step, id, got, twin[id])
		}
		v := max(0, r.IntN(5)-step%4) // at times more come than go, at times all go
		m.set(id, v)
		if twin[id] = v; v == 0 {
			delete(twin, id)
		}
		for key, b := range m.blocks {
			if b.used == 0 && b != m.last || b == m.last && key != m.key {
				t.Fatalf("step %d: the block of %v is kept: %+v", step, key, b)
			}
		}
		if step%500 == 0 {
			var want []int
			for _, v := range twin {
				want = append(want, v)
			}
			if got := slices.Sorted(m.all()); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Fatalf("step %d: all are %v, want %v", step, got, want)
			}
		}
	}
	for id := range twin {
		m.set(id, 0)
	}
	if len(m.blocks) > 1 {
		t.Errorf("%d blocks are kept for nothing", len(m.blocks))
	}
}
