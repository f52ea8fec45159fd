package limpet

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// An OpenRequest is a request that a limpet has taken from its bus and not answered yet.
type OpenRequest struct {
	// Link is the name of the link that it goes over.
	Link string
	// Name is the request's.
	Name string
	// ID is the request's, as it is on our bus.
	ID kbusdev.MsgID
	// Since is when it was taken.
	Since time.Time
}

// requestQueue has the requests of an epoch by age: those that are open, and some that are not any
// more. A nil one has none.
type requestQueue struct{ all []OpenRequest }

// few is how many requests are kept without asking which are answered.
const few = 1024

// take adds a request. open tells which are open, and how many.
func (q *requestQueue) take(r OpenRequest, open func(kbusdev.MsgID) bool, howMany int) {
	if q == nil {
		return
	}
	if len(q.all) >= few && len(q.all) >= 2*howMany { // so each is asked about once or twice in its life
		kept := q.all[:0]
		for i := range q.all {
			if open(q.all[i].ID) {
				kept = append(kept, q.all[i])
			}
		}
		clear(q.all[len(kept):])
		q.all = kept
	}
	q.all = append(q.all, r)
}

// oldest returns the oldest request that is open.
func (q *requestQueue) oldest(open func(kbusdev.MsgID) bool) (OpenRequest, bool) {
	if q == nil {
		return OpenRequest{}, false
	}
	n := 0
	for n < len(q.all) && !open(q.all[n].ID) {
		n++
	}
	clear(q.all[:n])
	q.all = q.all[n:]
	if len(q.all) == 0 {
		return OpenRequest{}, false
	}
	return q.all[0], true
}

// WatchOldest has OldestRequest know. It is called before the first link, if at all, for it
// costs some memory for each request.
func (n *Node) WatchOldest() { n.oldest = true }

// OldestRequest returns the request that has been open for longest of those that any link's
// limpet has taken from our bus; false if there is none, or after no WatchOldest.
func (n *Node) OldestRequest() (oldest OpenRequest, found bool) {
	for _, p := range n.Peerings() {
		n.mu.Lock()
		l := p.current
		n.mu.Unlock()
		if l == nil {
			continue
		}
		l.mu.Lock()
		r, ok := l.epoch.requests.oldest(l.epoch.rules.Open)
		l.mu.Unlock()
		if ok && (!found || r.Since.Before(oldest.Since)) {
			oldest, found = r, true
			oldest.Link = p.name
		}
	}
	return oldest, found
}
