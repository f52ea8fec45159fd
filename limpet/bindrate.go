package limpet

import "time"

// A name that a peer binds or unbinds costs more than a message: every limpet on our bus reads
// of it, and every other peer is told. So bind events of one peer are taken at most at this
// rate, after so many at once for each name that it may bind; then it is held up, by its window.
// Both are over all epochs, or a peer would link anew for the next ones.
const (
	bindsPerSecond = 5000
	bindsForAName  = 2 // a table with all names may come twice at once
)

// A bindRate is how many bind events a peer has had taken. The zero value is none.
type bindRate struct {
	used float64
	at   time.Time
}

// take counts one at now, and returns when the next one may be taken.
func (r *bindRate) take(now time.Time, names int) (next time.Time) {
	r.used = max(0, r.used-float64(now.Sub(r.at).Seconds()*bindsPerSecond)) // rounded, so that all processors come to the same
	r.at = now
	r.used++
	if over := r.used - float64(bindsForAName*names); over > 0 {
		return now.Add(time.Duration(over / bindsPerSecond * float64(time.Second)))
	}
	return now
}
