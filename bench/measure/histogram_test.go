package measure

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsTile(t *testing.T) {
	next := uint64(0)
	for i := range bucketCount {
		low, width := bucketRange(i)
		if low != next || bucket(low) != i || bucket(low+width-1) != i {
			t.Fatalf("bucket %d starts at %d and not at %d, or its ends fall into %d and %d", i, low, next, bucket(low), bucket(low+width-1))
		}
		next = low + width
	}
	if bucket(math.MaxInt64) >= bucketCount {
		t.Errorf("the longest duration falls into bucket %d of %d", bucket(math.MaxInt64), bucketCount)
	}
}

// Quantiles beside those of the sorted durations.
func TestQuantile(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		var h Histogram
		all := make([]time.Duration, 1+r.IntN(2000))
		for i := range all {
			all[i] = time.Duration(math.Exp(r.Float64() * 25))
			h.Add(all[i])
		}
		slices.Sort(all)
		for _, q := range []float64{0, 0.5, 0.99, 0.999, 1} {
			want := float64(all[max(int(math.Ceil(q*float64(len(all)))), 1)-1])
			if got := float64(h.Quantile(q)); math.Abs(got-want) > want/perOctave+1 {
				t.Errorf("seed %d: quantile %v of %d durations is %v, want %v", seed, q, len(all), got, want)
			}
		}
	}
}

func TestMergeAddsUp(t *testing.T) {
	var a, b, both Histogram
	for i := range 1000 {
		h := []*Histogram{&a, &b}[i%2]
		h.Add(time.Duration(i * i))
		both.Add(time.Duration(i * i))
	}
	a.Merge(&b)
	a.Merge(new(Histogram))
	if !slices.Equal(a.Counts, both.Counts) || a.Total() != 1000 {
		t.Errorf("merged %d, together %d", a.Total(), both.Total())
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h Histogram
	h.Merge(new(Histogram))
	if h.Quantile(0.5) != 0 || h.Total() != 0 {
		t.Errorf("median %v of %d durations", h.Quantile(0.5), h.Total())
	}
	h.Add(-time.Second)
	if h.Quantile(1) != 0 || h.Total() != 1 {
		t.Errorf("a negative duration counts as %v", h.Quantile(1))
	}
}
