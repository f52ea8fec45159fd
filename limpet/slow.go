package limpet

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A SlowReplier is what the requests of one name have taken, of one link or of our bus.
type SlowReplier struct {
	// Name is the requests'.
	Name string
	// Link is the link over which they went; "" if they were answered on our bus, and then Ksock
	// is who did so last.
	Link  string
	Ksock kbusdev.KsockID
	// Took counts how long they took, and Max is the longest.
	Took translate.Durations
	Max  time.Duration
	// Missing is at most how long such requests took besides, before the name got its place
	// among the SlowNames.
	Missing time.Duration
}

// weight is by which names get and keep their places.
func (r *SlowReplier) weight() time.Duration { return r.Took.Sum + r.Missing }

// SlowNames is of how many names it is counted how long their requests take. A name that has
// no place takes that of the one with the least, so that those whose requests take more than
// the SlowNames-th part of all time are among them.
const SlowNames = 64

// slowFor is for how long that is counted after somebody has asked.
const slowFor = time.Minute

// slow counts how long the requests of the slowest names take, once somebody wants to know:
// until then a reply costs a look at whether it is so.
type slow struct {
	counts atomic.Bool

	asking sync.Mutex // taken before the bus's lock
	asked  time.Time  // the last time
	hook   func(tell bool)
	timer  *time.Timer

	mu    sync.Mutex // nothing is taken while it is held
	since time.Time
	names map[slowKey]*SlowReplier
}

type slowKey struct{ name, link string }

// add counts a reply.
func (s *slow) add(name, link string, replier kbusdev.KsockID, took time.Duration) {
	if !s.counts.Load() {
		return
	}
	took = max(took, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil { // it was stopped just now
		return
	}
	r := s.names[slowKey{name, link}]
	if r == nil {
		r = s.place(name, link)
	}
	r.Ksock = replier
	r.Took.Add(took)
	r.Max = max(r.Max, took)
}

// place gives a name a place.
func (s *slow) place(name, link string) *SlowReplier {
	r := &SlowReplier{Name: name, Link: link}
	if len(s.names) == SlowNames {
		var least *SlowReplier
		for _, x := range s.names {
			if least == nil || x.weight() < least.weight() {
				least = x
			}
		}
		delete(s.names, slowKey{least.Name, least.Link})
		r.Missing = least.weight()
	}
	s.names[slowKey{name, link}] = r
	return r
}

// ask has it counted from now on, or for longer. hook has the bus tell how long replies took,
// or not any more.
func (s *slow) ask(hook func(tell bool)) {
	s.asking.Lock()
	defer s.asking.Unlock()
	s.asked = time.Now()
	if s.counts.Load() {
		return
	}
	s.mu.Lock()
	s.names, s.since = make(map[slowKey]*SlowReplier), s.asked
	s.mu.Unlock()
	s.counts.Store(true)
	s.hook = hook
	s.hook(true)
	s.timer = time.AfterFunc(slowFor, s.look)
}

// look ends the counting if nobody has asked for long.
func (s *slow) look() {
	s.asking.Lock()
	defer s.asking.Unlock()
	if left := slowFor - time.Since(s.asked); left > 0 && s.counts.Load() {
		s.timer.Reset(left)
		return
	}
	s.end()
}

// end ends the counting. s.asking is held.
func (s *slow) end() {
	if !s.counts.Load() {
		return
	}
	s.timer.Stop()
	s.hook(false)
	s.counts.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = nil
}

// stop is end.
func (s *slow) stop() {
	s.asking.Lock()
	defer s.asking.Unlock()
	s.end()
}

// replyTeller is a bus that tells how long replies took.
type replyTeller interface {
	OnReply(f func(name string, replier kbusdev.KsockID, took time.Duration))
}

// SlowRepliers returns the names whose requests have taken most time in all since a time, at
// most so many, and that time. It is counted from when somebody asks until a minute after
// nobody has asked any more.
func (n *Node) SlowRepliers(most int) (all []SlowReplier, since time.Time) {
	n.slow.ask(func(tell bool) {
		bus, tells := n.bus.(replyTeller)
		switch {
		case !tells:
		case !tell:
			bus.OnReply(nil)
		default:
			bus.OnReply(func(name string, replier kbusdev.KsockID, took time.Duration) {
				if !n.listeners.isOwn(replier) { // else the link tells
					n.slow.add(name, "", replier, took)
				}
			})
		}
	})
	all, since = n.slow.all()
	slices.SortFunc(all, func(a, b SlowReplier) int {
		return cmp.Or(cmp.Compare(b.Took.Sum, a.Took.Sum), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Link, b.Link))
	})
	return all[:min(most, len(all))], since
}

// all returns the names in no order.
func (s *slow) all() (all []SlowReplier, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.names {
		all = append(all, *r)
	}
	return all, s.since
}

// noteReplies has an epoch tell how long replies take. Those to the peer's requests the bus
// tells, if it does.
func (n *Node) noteReplies(p *Peering, k kbusdev.Ksock, ec *EpochConfig) {
	ec.Replied = func(name string, took time.Duration) { n.slow.add(name, p.name, k.ID(), took) }
	if _, tells := n.bus.(replyTeller); !tells {
		ec.AskedReplied = func(name string, took time.Duration) { n.slow.add(name, "", 0, took) }
	}
}

// isOwn reports whether a Ksock is that of a limpet, on a bus that tells of its listeners.
func (l *listeners) isOwn(k kbusdev.KsockID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limpets[k].open > 0
}
