package explain

import (
	"maps"
	"slices"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Link is a link of a daemon, numbered by it from 1. 0 is an operator.
type Link uint32

// A Question is what one daemon asks the next about a message that comes over the link
// between them.
type Question struct {
	// ID is the asker's, for the answer.
	ID uint64
	// Message is the header and name as they are on the link.
	Message kbusdev.Message
	// Hops is over how many more links it may be asked on.
	Hops uint32
	// Bytes bounds the answer, see Hop.Size.
	Bytes uint32
	// Within is how long the asker waits.
	Within time.Duration
}

// An Ask is a question to be put to the peer of a link, about what becomes of a branch.
type Ask struct {
	Link   Link
	Branch *Branch
	// Question has no ID yet, and Desk.Open sets Within.
	Question Question
}

// An Out is something to be carried out for a Desk: a question or an answer for the peer of
// a link, or the answer to an operator.
type Out struct {
	// Link is whose peer it is for; 0 is the operator with the id.
	Link Link
	// Question, unless nil, is to be asked.
	Question *Question
	// ID is that of the question that Answer answers, as its asker gave it. Without Question
	// and Answer it says that too many are open.
	ID     uint64
	Answer *Hop
}

// Bounds of a desk.
const (
	// MaxOpen is how many questions of the peer of one link, and of operators, may be open.
	MaxOpen = 32
	// MaxOpenInAll is how many of all together may be.
	MaxOpenInAll = 256
	// What a peer may ask: so many a second, after so many at once. We ask each peer half as
	// often for operators, and half as often for other peers, so that an honest daemon is never
	// refused, and no peer can use up what operators have.
	perSecond, atOnce = 20, 60
	// maxLinks is of how many links something is remembered before those are forgotten that
	// have asked nothing, and have not been asked, for long.
	maxLinks = 4096
)

// A Desk keeps the questions that are open in one daemon. It is not safe for concurrent use.
type Desk struct {
	last  uint64
	asked map[uint64]*asked // by our ids
	open  []*inquiry        // oldest first
	links map[Link]*traffic
}

// NewDesk returns a desk without questions.
func NewDesk() *Desk {
	return &Desk{asked: make(map[uint64]*asked), links: make(map[Link]*traffic)}
}

// traffic is what has been asked by the peer of a link, and of it.
type traffic struct {
	open                int // questions of the peer's
	taken, own, relayed bucket
}

// An inquiry is a question that is open: its answer waits for those of others.
type inquiry struct {
	from    Link
	id      uint64 // as the asker gave it
	root    *Hop
	left    int // bytes
	waits   int
	expires time.Time
	asked   []uint64
}

// asked is a question that was put to a peer.
type asked struct {
	of     *inquiry
	link   Link
	branch *Branch
	at     time.Time
}

// Admit reports whether a question of the peer of a link, or of an operator, is to be
// looked into: there are not too many. Whoever may not ask now is answered so.
func (d *Desk) Admit(now time.Time, from Link) bool {
	t := d.of(now, from)
	return !d.full(t) && (from == 0 || t.taken.take(now, perSecond, atOnce))
}

// full reports whether there is no room for another question of somebody's.
func (d *Desk) full(t *traffic) bool { return len(d.open) >= MaxOpenInAll || t.open >= MaxOpen }

// of returns the traffic of a link. A question that was on its way when its link ended may
// bring one back that Gone has forgotten, so there is a bound here too.
func (d *Desk) of(now time.Time, l Link) *traffic {
	t := d.links[l]
	if t == nil {
		if len(d.links) >= maxLinks {
			maps.DeleteFunc(d.links, func(_ Link, t *traffic) bool { return t.rests(now) })
		}
		t = new(traffic)
		d.links[l] = t
	}
	return t
}

// rests reports whether nothing is lost by forgetting it.
func (t *traffic) rests(now time.Time) bool {
	return t.open == 0 && t.taken.rests(now, perSecond) && t.own.rests(now, perSecond/2) && t.relayed.rests(now, perSecond/2)
}

// Open begins to answer a question that was admitted: root is what is known here, and asks
// what others must be asked, whose answers get their places in it. What is to be carried out
// is appended to out; when nobody need be asked the answer is among that. When others were
// opened meanwhile, and there is no room any more, that is all that out says.
func (d *Desk) Open(out []Out, now time.Time, from Link, q *Question, root *Hop, asks []Ask) []Out {
	t := d.of(now, from)
	if d.full(t) {
		return append(out, Out{Link: from, ID: q.ID})
	}
	i := &inquiry{from: from, id: q.ID, root: root, left: int(q.Bytes) - root.Size(), expires: now.Add(q.Within)}
	d.open = append(d.open, i)
	t.open++
	for k := range asks {
		a := &asks[k]
		to := d.of(now, a.Link)
		allowance := &to.relayed
		if from == 0 {
			allowance = &to.own
		}
		if !allowance.take(now, perSecond/2, atOnce/2) {
			a.Branch.End = Busy
			continue
		}
		d.last++
		a.Question.ID, a.Question.Within = d.last, q.Within*7/8 // so that theirs is over before ours
		d.asked[d.last] = &asked{of: i, link: a.Link, branch: a.Branch, at: now}
		i.asked = append(i.asked, d.last)
		i.waits++
		out = append(out, Out{Link: a.Link, Question: &a.Question})
	}
	return d.settle(out, i)
}

// Take takes the answer of the peer of a link; nil: it has been asked too often. An answer to
// no question is ignored.
func (d *Desk) Take(out []Out, now time.Time, from Link, id uint64, hop *Hop) []Out {
	a := d.asked[id]
	if a == nil || a.link != from {
		return out
	}
	delete(d.asked, id)
	i, b := a.of, a.branch
	b.Took = now.Sub(a.at)
	if hop == nil {
		b.End = Busy
	} else if size := hop.Size(); size > i.left {
		b.End = TooLarge
	} else {
		i.left -= size
		b.Next = hop
	}
	i.waits--
	return d.settle(out, i)
}

// Gone notes that the peer of a link cannot be asked any more, and asks nothing.
func (d *Desk) Gone(out []Out, l Link) []Out {
	for _, i := range slices.Clone(d.open) {
		if i.from == l {
			d.forget(i)
			continue
		}
		for _, id := range i.asked {
			if a := d.asked[id]; a != nil && a.link == l {
				delete(d.asked, id)
				a.branch.End = NotLinked
				i.waits--
			}
		}
		out = d.settle(out, i)
	}
	delete(d.links, l)
	return out
}

// Cancel forgets a question of an operator who does not wait any more.
func (d *Desk) Cancel(id uint64) {
	for _, i := range slices.Clone(d.open) {
		if i.from == 0 && i.id == id {
			d.forget(i)
		}
	}
}

// settle answers a question if nobody's answer is waited for.
func (d *Desk) settle(out []Out, i *inquiry) []Out {
	if i.waits > 0 {
		return out
	}
	d.forget(i)
	return append(out, Out{Link: i.from, ID: i.id, Answer: i.root})
}

func (d *Desk) forget(i *inquiry) {
	d.open = slices.DeleteFunc(d.open, func(other *inquiry) bool { return other == i })
	for _, id := range i.asked {
		delete(d.asked, id)
	}
	if t := d.links[i.from]; t != nil {
		t.open--
	}
}

// Next returns when Tick has something to do; zero if nothing is waited for.
func (d *Desk) Next() (next time.Time) {
	for _, i := range d.open {
		if next.IsZero() || i.expires.Before(next) {
			next = i.expires
		}
	}
	return next
}

// Tick answers what is over: whose answer has not come in time is named so.
func (d *Desk) Tick(out []Out, now time.Time) []Out {
	for _, i := range slices.Clone(d.open) {
		if now.Before(i.expires) {
			continue
		}
		for _, id := range i.asked {
			if a := d.asked[id]; a != nil {
				a.branch.End, a.branch.Took = NoAnswer, now.Sub(a.at)
			}
		}
		i.waits = 0
		out = d.settle(out, i)
	}
	return out
}

// A bucket is an allowance that refills.
type bucket struct {
	used float64
	at   time.Time
}

// take takes one of so many a second, after so many at once, if it can.
func (b *bucket) take(now time.Time, perSecond, atOnce float64) bool {
	b.used = max(0, b.used-now.Sub(b.at).Seconds()*perSecond)
	b.at = now
	if b.used+1 > atOnce {
		return false
	}
	b.used++
	return true
}

// rests reports whether all of it is there again.
func (b *bucket) rests(now time.Time, perSecond float64) bool {
	return b.used <= now.Sub(b.at).Seconds()*perSecond
}
