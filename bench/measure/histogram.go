package measure

import (
	"math/bits"
	"time"
)

// Each power of two of nanoseconds has this many buckets, so that a quantile is wrong by
// at most 1/64.
const (
	bucketBits  = 6
	perOctave   = 1 << bucketBits
	bucketCount = (64 - bucketBits) << bucketBits
)

// A Histogram counts durations. The zero value is empty. It is not safe for concurrent
// use.
type Histogram struct {
	// Counts has a count for each bucket, or is nil.
	Counts []uint64
}

// Add counts a duration; less than 0 counts as 0.
func (h *Histogram) Add(d time.Duration) {
	if h.Counts == nil {
		h.Counts = make([]uint64, bucketCount)
	}
	h.Counts[bucket(uint64(max(d, 0)))]++
}

// Merge adds what o has counted.
func (h *Histogram) Merge(o *Histogram) {
	if o.Counts == nil {
		return
	}
	if h.Counts == nil {
		h.Counts = make([]uint64, bucketCount)
	}
	for i, n := range o.Counts {
		h.Counts[i] += n
	}
}

// Total returns how many durations were counted.
func (h *Histogram) Total() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Quantile returns the smallest duration that at least the fraction q, from 0 to 1, of
// those counted does not exceed, as the middle of its bucket; 0 if none was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.Total()
	rank := uint64(q * float64(total))
	if float64(rank) < q*float64(total) || rank == 0 {
		rank++
	}
	seen := uint64(0)
	for i, n := range h.Counts {
		if seen += n; n > 0 && seen >= rank {
			low, width := bucketRange(i)
			return time.Duration(low + width/2)
		}
	}
	return 0
}

// bucket returns the bucket of v: the first ones have one value each, then every octave
// has perOctave of equal width.
func bucket(v uint64) int {
	if v < perOctave {
		return int(v)
	}
	shift := bits.Len64(v) - bucketBits - 1
	return (shift+1)<<bucketBits + int(v>>shift) - perOctave
}

func bucketRange(i int) (low, width uint64) {
	if i < perOctave {
		return uint64(i), 1
	}
	shift := i>>bucketBits - 1
	return uint64(i&(perOctave-1)+perOctave) << shift, 1 << shift
}
