package wire_test

import (
	"testing"

	"github.com/kbus-limpet/limpet/limpet/wire"
)

func TestPool(t *testing.T) {
	for _, c := range []struct{ length, capacity int }{
		{0, 256}, {1, 256}, {256, 256}, {257, 512}, {32 << 10, 32 << 10}, {32<<10 + 1, 64 << 10}, {1 << 20, 1 << 20},
		{1<<20 + 1, 0}, // not pooled
	} {
		b := wire.Pool.Get(c.length)
		if len(*b) != c.length || c.capacity > 0 && cap(*b) != c.capacity {
			t.Errorf("Get(%d) has length %d and capacity %d", c.length, len(*b), cap(*b))
		}
		wire.Pool.Put(b)
	}
	// Memory of others must not get into a tier that is larger than it.
	odd := make([]byte, 700)
	wire.Pool.Put(&odd)
	if b := wire.Pool.Get(1000); cap(*b) < 1000 {
		t.Errorf("Get(1000) has capacity %d", cap(*b))
	}
}
