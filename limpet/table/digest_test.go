package table_test

import (
	"math/rand/v2"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/table"
)

type entry struct {
	role   kbusdev.Role
	name   string
	binder kbusdev.KsockID
}

func digestOf(entries ...entry) (d table.Digest) {
	for _, e := range entries {
		d.Add(e.role, e.name, e.binder)
	}
	return d
}

// The digest goes over the wire: it must never change. The sum was made by another
// program from the definition.
func TestDigestIsFixed(t *testing.T) {
	got := digestOf(entry{kbusdev.Replier, "$.A.*", 0x01020304}, entry{kbusdev.Listener, "$.B", 0})
	if want := (table.Digest{Count: 2, Sum: 0xc87842038b37364}); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
}

func TestDigestTellsApart(t *testing.T) {
	different := [][]entry{
		{},
		{{kbusdev.Replier, "$.A", 1}},
		{{kbusdev.Listener, "$.A", 1}},
		{{kbusdev.Replier, "$.A", 2}},
		{{kbusdev.Replier, "$.B", 1}},
		{{kbusdev.Replier, "$.A", 1}, {kbusdev.Replier, "$.A", 1}},
	}
	// Two binders that swap two similar names.
	for binder := range kbusdev.KsockID(64) {
		a, b := 100+2*binder, 101+2*binder
		different = append(different,
			[]entry{{kbusdev.Replier, "$.Name1", a}, {kbusdev.Replier, "$.Name2", b}},
			[]entry{{kbusdev.Replier, "$.Name2", a}, {kbusdev.Replier, "$.Name1", b}})
	}
	seen := map[table.Digest]int{}
	for i, entries := range different {
		d := digestOf(entries...)
		if j, ok := seen[d]; ok {
			t.Errorf("%v and %v have the same digest", entries, different[j])
		}
		seen[d] = i
	}
}

func TestDigestTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	var d table.Digest
	var entries []entry
	for step := range 2000 {
		if at := rng.IntN(40); at < len(entries) {
			e := entries[at]
			entries = append(entries[:at], entries[at+1:]...)
			d.Remove(e.role, e.name, e.binder)
		} else {
			e := entry{kbusdev.Role(rng.IntN(2) == 0), anyName(rng, true), kbusdev.KsockID(rng.IntN(3))}
			entries = append(entries, e)
			d.Add(e.role, e.name, e.binder)
		}
		rng.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		if want := digestOf(entries...); d != want {
			t.Fatalf("step %d: %v, want %v", step, d, want)
		}
	}
}
