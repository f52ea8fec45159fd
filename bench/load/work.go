package load

import "time"

// A Work is what a pair of programs does. Announcements and requests may be made at the
// same time.
type Work struct {
	// Name is unique, short, and what -works takes.
	Name string
	// Sizes, unless empty, are the bytes of the announcements' data, over and over.
	Sizes []int
	// Listeners is how many programs hear each announcement, at least 1.
	Listeners int
	// Callers is how many requests are open at any time.
	Callers int
	// Bindings is how many other names are bound on the far side.
	Bindings int
	// Open is how many other requests are left open.
	Open int
	// Peers is how many more daemons, which nobody uses, are linked to the near one.
	Peers int
}

// A Limit ends a run, whichever comes first.
type Limit struct {
	Duration time.Duration
	// Messages bounds the announcements, and the requests of all callers together; 0 is no
	// bound.
	Messages int
}

// The names that the programs use.
const (
	announced = "Work"
	asked     = "Ask"
	held      = "Held"
)

// requestSize is the bytes of a request's data and of its reply's.
const requestSize = 64

// Bounds of what is sent and not yet heard, so that no queue on the way is ever full: the
// embedded bus keeps 64 MiB, counted once for each listener, and limpetd's links have
// windows of 16 384 messages and 16 MiB.
const (
	aheadMessages = 8192
	aheadBytes    = 16 << 20
	overhead      = 64 // of a message, beside its data
)

// ahead is how many announcements may be under way.
func (w *Work) ahead() int {
	total := 0
	for _, n := range w.Sizes {
		total += n + overhead
	}
	if total == 0 {
		return 1
	}
	return max(4, min(aheadMessages, aheadBytes*len(w.Sizes)/total/w.Listeners))
}

// step is after how many announcements that were heard the sender is told.
func (w *Work) step() int { return max(1, w.ahead()/8) }
