package measure

import (
	"slices"
	"testing"
)

func TestMedianAndSpread(t *testing.T) {
	for _, c := range []struct {
		values         []float64
		median, spread float64
	}{
		{nil, 0, 0},
		{[]float64{7}, 7, 0},
		{[]float64{4, 2}, 3, 2.0 / 3},
		{[]float64{9, 1, 4}, 4, 2},
		{[]float64{4, 1, 3, 2}, 2.5, 1.2},
		{[]float64{0, 0, 5}, 0, 0},
	} {
		before := slices.Clone(c.values)
		if m, s := Median(c.values), Spread(c.values); m != c.median || s != c.spread {
			t.Errorf("%v: median %v, spread %v, want %v and %v", c.values, m, s, c.median, c.spread)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("%v became %v", before, c.values)
		}
	}
}
