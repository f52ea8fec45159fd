package wire

import (
	"math/bits"
	"sync"
)

// Pool is for the memory of frames, on their way and in gRPC's transport: it has a tier for
// each power of two up to a mebibyte, and unlike gRPC's own pools does not clear what is
// used again. It is safe for concurrent use.
var Pool pool

type pool struct{ tiers [maxTier + 1]sync.Pool }

// The tiers, as powers of two.
const (
	minTier = 8
	maxTier = 20
)

// Get is mem.BufferPool's. What is in the memory is left over from others.
func (p *pool) Get(length int) *[]byte {
	tier := max(bits.Len(uint(max(length, 1)-1)), minTier)
	if tier > maxTier {
		b := make([]byte, length)
		return &b
	}
	if b, ok := p.tiers[tier].Get().(*[]byte); ok {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, 1<<tier)
	return &b
}

// Put is mem.BufferPool's.
func (p *pool) Put(b *[]byte) {
	if tier := bits.Len(uint(cap(*b))) - 1; tier >= minTier && tier <= maxTier && cap(*b) == 1<<tier {
		p.tiers[tier].Put(b)
	}
}
