package limpet

import (
	"slices"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// held are messages of the peer's that found no room on our bus and may wait for it
// (ALL_OR_WAIT), and what their senders sent later: they must not be overtaken. Other
// senders' messages go on.
type held struct {
	queues map[kbusdev.Address]*heldQueue
	order  []*heldQueue // the same, in the order in which they were made, and some that are empty
	giving bool         // no message waits any more
}

// A heldQueue is what one sender's messages wait in.
type heldQueue struct {
	sender kbusdev.Address
	dos    []Do
	until  time.Time // when the first is given up
	retry  time.Time // when the first is tried again
	out    bool      // the first is being tried
}

// heldRetry is how soon a held message is tried again.
const heldRetry = 20 * time.Millisecond

// behind queues d if messages of its sender are held, and reports whether they are.
func (h *held) behind(now time.Time, d *Do) bool {
	q := h.queues[d.Effect.Msg.OrigFrom]
	if q == nil {
		return false
	}
	d.arrived = now
	q.dos = append(q.dos, *d)
	return true
}

// up holds d, which found no room, until wait after it came. It returns false when that
// is over, or nothing may wait any more. The time behind others counts too, so that a
// receiver without room holds the acknowledgements up for no longer than wait.
func (h *held) up(now time.Time, d *Do, wait time.Duration) bool {
	q := d.from
	switch {
	case h.giving:
		return false
	case q == nil:
		q = &heldQueue{sender: d.Effect.Msg.OrigFrom, until: now.Add(wait)}
		if h.queues == nil {
			h.queues = make(map[kbusdev.Address]*heldQueue)
		}
		h.queues[q.sender] = q
		h.order = append(h.order, q)
		d.from = q
		q.dos = append(q.dos, *d)
	case q.until.IsZero(): // it was behind another, and is tried for the first time
		q.until = d.arrived.Add(wait)
	}
	if !now.Before(q.until) {
		return false
	}
	q.out = false
	q.retry = now.Add(heldRetry)
	return true
}

// passed takes the first message of a queue away: its fate is decided. The next one is
// due at once.
func (h *held) passed(q *heldQueue) {
	if q == nil {
		return
	}
	q.dos[0] = Do{}
	q.dos = q.dos[1:]
	q.out, q.until, q.retry = false, time.Time{}, time.Time{}
	if len(q.dos) > 0 {
		return
	}
	delete(h.queues, q.sender) // due takes it out of the order
}

// due appends the messages that are to be tried now to dst. late are those that have
// expired, and are not to be tried.
func (h *held) due(now time.Time, dst []Do) (_, late []Do) {
	h.order = slices.DeleteFunc(h.order, func(q *heldQueue) bool { return len(q.dos) == 0 })
	for _, q := range h.order {
		if q.out || !h.giving && now.Before(q.retry) {
			continue
		}
		q.out = true
		q.dos[0].from, q.dos[0].Errno = q, 0
		if q.dos[0].Effect.Msg.Expired(now) {
			late = append(late, q.dos[0])
		} else {
			dst = append(dst, q.dos[0])
		}
	}
	return dst, late
}

// next returns when due has something new, after it has been asked; zero if nothing is
// held.
func (h *held) next() (next time.Time) {
	for _, q := range h.order {
		if !q.out && len(q.dos) > 0 && (next.IsZero() || q.retry.Before(next)) {
			next = q.retry
		}
	}
	return next
}

// giveUp makes every held message be tried once more only.
func (h *held) giveUp() { h.giving = true }

// count returns how many messages are held.
func (h *held) count() (n int) {
	for _, q := range h.order {
		n += len(q.dos)
	}
	return n
}
