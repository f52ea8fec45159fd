package measure

import "slices"

// Median returns the middle of the values, the mean of the middle two if their number is
// even, and 0 if there is none. It does not change them.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Spread returns how far the values lie apart, as a part of their median: (largest -
// smallest) / median, and 0 if the median is 0.
func Spread(values []float64) float64 {
	m := Median(values)
	if m == 0 {
		return 0
	}
	return (slices.Max(values) - slices.Min(values)) / m
}
