package limpet

import (
	"time"

	"github.com/kbus-limpet/limpet/limpet/translate"
)

// An OpenRequest is a request that a limpet has taken from its bus and not answered yet.
type OpenRequest struct {
	// Link is the name of the link that it goes over.
	Link string
	// OpenRequest is what the limpet knows of it.
	translate.OpenRequest
}

// OldestRequest returns the request that has been open for longest of those that any link's
// limpet has taken from our bus, if it was taken before a time; false if there is none. It
// looks at all that are open.
func (n *Node) OldestRequest(before time.Time) (oldest OpenRequest, found bool) {
	for _, p := range n.Peerings() {
		n.mu.Lock()
		l := p.current
		n.mu.Unlock()
		if l == nil {
			continue
		}
		l.mu.Lock()
		r, ok := l.epoch.rules.OldestRequest()
		l.mu.Unlock()
		if ok && r.Since.Before(before) {
			oldest, found, before = OpenRequest{p.name, r}, true, r.Since
		}
	}
	return oldest, found
}
