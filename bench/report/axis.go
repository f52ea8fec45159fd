package report

import "math"

// A logAxis maps values to pixels, logarithmically, over whole powers of ten.
type logAxis struct {
	low, high float64 // exponents of ten
	zero      bool    // the beginning of the axis is 0, and not a power of ten
	from, to  float64 // pixels
}

// newLogAxis returns an axis on which all values fit. If one of them is 0, that has a
// place of its own at the beginning.
func newLogAxis(values []float64, from, to float64) logAxis {
	low, high := math.Inf(1), math.Inf(-1)
	zero := false
	for _, v := range values {
		if v > 0 {
			low, high = math.Min(low, math.Log10(v)), math.Max(high, math.Log10(v))
		} else {
			zero = true
		}
	}
	if low > high {
		low, high = 0, 1
	}
	a := logAxis{low: math.Floor(low), high: math.Ceil(high), from: from, to: to}
	if a.low == a.high {
		a.high++
	}
	if zero {
		a.zero = true
		a.low--
	}
	return a
}

// at returns where v is. What is below the axis, as 0 always is, is at its beginning.
func (a logAxis) at(v float64) float64 {
	if v <= 0 {
		return a.from
	}
	part := (math.Log10(v) - a.low) / (a.high - a.low)
	return a.from + math.Max(part, 0)*(a.to-a.from)
}

// marks returns 0, if it is on the axis, and the powers of ten.
func (a logAxis) marks() (all []float64) {
	for e := a.low; e <= a.high; e++ {
		v := math.Pow(10, e)
		if a.zero && e == a.low {
			v = 0
		}
		all = append(all, v)
	}
	return all
}
