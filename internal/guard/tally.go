package guard

import (
	"log/slog"
	"sync"
	"time"
)

// sayEvery is how often the log has a line about the same bound, at most.
const sayEvery = time.Minute

// A Tally counts how often bounds are reached, and says so in the log: at once, and then
// about once a minute for each, however many there are to be refused. It is safe for
// concurrent use.
type Tally struct {
	who string
	log *slog.Logger

	mu      sync.Mutex
	reached map[string]*reached
}

type reached struct {
	count uint64
	said  uint64    // the count when the log had the last line
	at    time.Time // of that line
}

// NewTally returns a tally of the bounds that some meet: "peers".
func NewTally(who string, log *slog.Logger) *Tally {
	return &Tally{who: who, log: log, reached: make(map[string]*reached)}
}

// Reach counts that from has reached a bound.
func (t *Tally) Reach(bound, from string) {
	now := time.Now()
	t.mu.Lock()
	r := t.reached[bound]
	if r == nil {
		r = new(reached)
		t.reached[bound] = r
	}
	r.count++
	if r.said > 0 && now.Sub(r.at) < sayEvery {
		t.mu.Unlock()
		return
	}
	n := r.count - r.said
	r.said, r.at = r.count, now
	t.mu.Unlock()
	t.log.Warn("a bound is reached; something is refused, or a connection closed", "by", t.who, "bound", bound, "from", from, "times", n)
}

// Count counts something else that was refused: what is no bound, and is in the log already.
func (t *Tally) Count(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.reached[what]
	if r == nil {
		r = new(reached)
		t.reached[what] = r
	}
	r.count++
}

// Counts returns how often each bound was reached, of those that were.
func (t *Tally) Counts() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]uint64, len(t.reached))
	for bound, r := range t.reached {
		all[bound] = r.count
	}
	return all
}
