package limpet

import (
	"cmp"
	"slices"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A Request is a request on a node's bus that has no reply yet.
type Request struct {
	// ID and Name are the request's on our bus.
	ID   kbusdev.MsgID
	Name string
	// Asker is the Ksock on our bus that has sent it, and Replier the one that is to reply; 0 if
	// that is not known. AskerLink and ReplierLink name the links whose Ksocks they are.
	Asker, Replier         kbusdev.KsockID
	AskerLink, ReplierLink string
	// Since is when our bus got it or, if a link has taken it from there, that link.
	Since time.Time
	// Progress is how far it has come.
	Progress Progress
}

// Compare orders requests by their age, oldest first.
func (r *Request) Compare(o *Request) int {
	return cmp.Or(r.Since.Compare(o.Since), cmp.Compare(r.ID.Network, o.ID.Network), cmp.Compare(r.ID.Serial, o.ID.Serial), cmp.Compare(r.Asker, o.Asker))
}

// A Progress is how far a request has come.
type Progress uint8

// How far a request has come: later ones are further.
const (
	// Unknown: a device does not tell.
	Unknown Progress = iota
	// Queued: it waits in its replier's queue.
	Queued
	// Read: its replier on our bus has it.
	Read
	// Taken: a link has taken it, and given it to no stream.
	Taken
	// Handed: it was given to a stream, so the peer may have it.
	Handed
	// Acknowledged: the peer's bus has it.
	Acknowledged
)

// WhichRequests says which open requests are wanted.
type WhichRequests struct {
	// Link, unless "", is the name of the link that they go over, or have come over.
	Link string
	// Name, unless "", is their name, or a wildcard.
	Name string
	// Before, unless zero, is when they have been open already.
	Before time.Time
	// After, unless nil, comes before them in their order.
	After *Request
	// Most is how many there are at most, above 0.
	Most int
}

func (q *WhichRequests) want(r *Request) bool {
	return (q.Link == "" || r.AskerLink == q.Link || r.ReplierLink == q.Link) && (q.Name == "" || kbusdev.Matches(q.Name, r.Name)) && (q.Before.IsZero() || r.Since.Before(q.Before))
}

// requestLister is a bus that tells of its open requests.
type requestLister interface {
	OpenRequests(f func(kbusdev.OpenRequest) bool)
}

// OpenRequests returns the oldest of the open requests that are wanted, in their order, whether
// there are more, and how many there are in all without After. Of a bus that does not tell of them only
// those are known that a link has taken, or sent there. It looks at all that are open, but
// takes the locks for a few at a time, and keeps no more than twice Most.
func (n *Node) OpenRequests(q WhichRequests) (some []Request, more bool, open int) {
	links := make(map[kbusdev.KsockID]*live)
	name := func(k kbusdev.KsockID) string {
		if l := links[k]; l != nil {
			return l.peering.name
		}
		return ""
	}
	n.mu.Lock()
	for _, p := range n.peerings {
		if l := p.current; l != nil {
			links[l.ksock.ID()] = l
		}
	}
	n.mu.Unlock()
	oldest := oldestRequests{which: q}
	bus, lists := n.bus.(requestLister)
	if lists { // before the links, so that one that is taken meanwhile is seen all the same
		bus.OpenRequests(func(r kbusdev.OpenRequest) bool {
			progress := Queued
			if r.Read {
				progress = Read
			}
			if !r.Read || links[r.Replier] == nil { // else the link tells
				oldest.add(&Request{r.ID, r.Name, r.Asker, r.Replier, name(r.Asker), name(r.Replier), r.Since, progress})
			}
			return true
		})
	}
	for k, l := range links {
		l.requests((*translate.Machine).Requests, func(r *translate.OpenRequest) {
			oldest.add(&Request{r.ID, r.Name, r.From, k, name(r.From), name(k), r.Since, Acknowledged})
		})
		if !lists {
			l.requests((*translate.Machine).Asked, func(r *translate.OpenRequest) {
				oldest.add(&Request{r.ID, r.Name, r.From, 0, name(r.From), "", r.Since, Unknown})
			})
		}
	}
	some, more = oldest.all()
	for k, l := range links {
		l.lookAt(some, k)
	}
	return some, more, oldest.wanted
}

// chunk is how many requests are looked at with an epoch's lock.
const chunk = 256

// requests calls f for each request that list lists; the epoch's lock is taken for a chunk at
// a time, and not held while f runs.
func (l *live) requests(list func(*translate.Machine, func(translate.OpenRequest)), f func(*translate.OpenRequest)) {
	some := make([]translate.OpenRequest, 0, chunk)
	give := func() {
		for i := range some {
			f(&some[i])
		}
		some = some[:0]
	}
	l.mu.Lock()
	list(l.epoch.rules, func(r translate.OpenRequest) {
		if some = append(some, r); len(some) == chunk {
			l.mu.Unlock()
			give()
			l.mu.Lock()
		}
	})
	l.mu.Unlock()
	give()
}

// lookAt notes how far those of some requests have come that the link with this Ksock has
// taken: what the peer has not acknowledged is bounded by the window.
func (l *live) lookAt(some []Request, k kbusdev.KsockID) {
	taken := make(map[kbusdev.MsgID]*Request)
	for i := range some {
		if r := &some[i]; r.Replier == k && r.Progress == Acknowledged {
			taken[r.ID] = r
			if l.peering.classic { // it acknowledges nothing
				r.Progress = Handed
			}
		}
	}
	if len(taken) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch.unacknowledged(func(id kbusdev.MsgID, handed bool) {
		if r := taken[id]; r != nil && handed {
			r.Progress = Handed
		} else if r != nil {
			r.Progress = Taken
		}
	})
}

// unacknowledged calls f for each request of our bus that the peer has not acknowledged, with
// its id there; handed says that it was given to a stream.
func (e *Epoch) unacknowledged(f func(id kbusdev.MsgID, handed bool)) {
	tell := func(out *link.Outgoing, handed bool) {
		if !out.FromBus || !out.Msg.WantsUsToReply() {
			return
		}
		id := out.Msg.ID
		if id.Network == e.cfg.NetworkID {
			id.Network = 0
		}
		f(id, handed)
	}
	if !e.answered {
		e.session.Unacknowledged(tell)
	}
	for i := range e.overflow {
		tell(&e.overflow[i], false)
	}
}

// oldestRequests keeps the oldest of those that are added.
type oldestRequests struct {
	which  WhichRequests
	some   []Request // those that may be
	bound  *Request  // what is not older is none of them; nil if there is no such
	wanted int
	more   bool // than those
}

func (o *oldestRequests) add(r *Request) {
	if !o.which.want(r) {
		return
	}
	o.wanted++
	switch {
	case o.which.After != nil && r.Compare(o.which.After) <= 0:
		return
	case o.bound != nil && r.Compare(o.bound) >= 0:
		o.more = true
		return
	}
	if o.some = append(o.some, *r); len(o.some) >= 2*o.which.Most {
		o.cut()
	}
}

func (o *oldestRequests) cut() {
	slices.SortFunc(o.some, func(a, b Request) int { return a.Compare(&b) })
	if len(o.some) >= o.which.Most {
		o.more = o.more || len(o.some) > o.which.Most
		clear(o.some[o.which.Most:])
		o.some = o.some[:o.which.Most]
		last := o.some[o.which.Most-1]
		o.bound = &last
	}
}

// all returns them, each once: one that was taken by a link meanwhile was told twice.
func (o *oldestRequests) all() (some []Request, more bool) {
	o.cut()
	type key struct {
		id    kbusdev.MsgID
		asker kbusdev.KsockID
	}
	furthest := make(map[key]Progress)
	for i := range o.some {
		r := &o.some[i]
		k := key{r.ID, r.Asker}
		furthest[k] = max(furthest[k], r.Progress)
	}
	return slices.DeleteFunc(o.some, func(r Request) bool {
		k := key{r.ID, r.Asker}
		further := furthest[k] != r.Progress
		if !further {
			furthest[k] = 255 // the others are as far
		}
		return further
	}), o.more
}
