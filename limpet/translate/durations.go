package translate

import "time"

// DurationBounds are the upper bounds of the classes of Durations, the last one apart, which
// has none.
var DurationBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, 60 * time.Second,
}

// Durations count how long requests took. The zero value has none.
type Durations struct {
	// Counts are those of each class: at most its bound, and longer than the one before.
	Counts [len(DurationBounds) + 1]uint64
	// Sum is that of all.
	Sum time.Duration
}

// Add counts one.
func (d *Durations) Add(took time.Duration) {
	took = max(took, 0)
	low, high := 0, len(DurationBounds)
	for low < high {
		if mid := (low + high) / 2; took > DurationBounds[mid] {
			low = mid + 1
		} else {
			high = mid
		}
	}
	d.Counts[low]++
	d.Sum += took
}
