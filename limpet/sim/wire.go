package sim

import (
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/table"
)

// A wire joins two daemons. One stream after the other goes over it.
type wire struct {
	w       *World
	source  table.Source
	ends    [2]*peering
	delay   time.Duration // of a frame
	downTil time.Time     // nobody can dial
	stream  *stream       // the latest
	dialler task
}

// A stream carries frames both ways until it breaks.
type stream struct {
	id   int
	ends [2]*end
	// lost frames vanish, by the end that sends them: nobody is told.
	lost [2]bool
}

// An end is one side of a stream.
type end struct {
	id       int
	s        *stream
	p        *peering
	sender   task
	greeting *link.Greeting // the peer's
	epoch    *epoch         // what it was attached to
	attached bool
	over     bool // nothing more is sent
	closed   bool
	heard    time.Time

	inbox   []link.Frame // under way to this end; nil is the end of the stream
	arrives time.Time    // when the latest of these does
}

func (x *wire) dial() {
	w, p := x.w, x.ends[0]
	if w.now.Before(x.downTil) {
		x.dialler.wakeAt(x.downTil.Add(w.upTo(500 * time.Millisecond)))
		return
	}
	if x.ends[0].n.draining || x.ends[1].n.draining {
		x.dialler.wakeAt(w.now.Add(w.upTo(500 * time.Millisecond)))
		return
	}
	if x.stream != nil && !x.stream.ends[0].closed {
		return
	}
	if p.asks != nil || p.current != nil && p.current.Why() != nil {
		x.dialler.wakeAt(w.now.Add(50 * time.Millisecond)) // the last epoch is ending
		return
	}
	w.streams++
	s := &stream{id: w.streams}
	for i := range s.ends {
		e := &end{id: s.id, s: s, p: x.ends[i], heard: w.now}
		e.sender = task{w: w, who: &x.ends[i].n.machine, run: e.next}
		s.ends[i] = e
	}
	x.stream = s
	w.tracef("%v dials stream %d", p, s.id)
	s.ends[0].send(p.greeting())
	w.after(10*time.Second, func() {
		if e := s.ends[0]; !e.attached && !e.closed && p.asks != e {
			e.close("no greeting", true)
		}
	})
}

// next takes the next frame of the epoch's for the stream.
func (e *end) next() {
	w := e.p.n.w
	l := e.epoch
	if e.closed || e.over || e.p.stream != e {
		return
	}
	if t := l.topology(); t != nil {
		e.send(t)
		e.sender.wake()
		return
	}
	due := l.Due()
	f, again, over := l.NextFrame(w.now)
	if w.now.Before(due) && (f != nil || over) {
		w.wrong("%v: a frame %s at %v, which was due at %v", e.p, shownFrame{f}, w.now, due)
	}
	switch {
	case over:
		e.over = true
		e.send(nil)
		w.after(time.Second, func() { e.close("the conversation is over", true) })
	case f != nil:
		e.send(e.p.spoilt(f))
		l.Flushed(w.now)
		l.touch()
		e.sender.wake()
	default:
		e.sender.wakeAt(again)
	}
}

// send gives a frame to the stream.
func (e *end) send(f link.Frame) {
	w, s, to := e.p.n.w, e.s, e.s.ends[1-e.p.side]
	w.tracef("%v sends on stream %d %s", e.p, e.id, shownFrame{f})
	e.p.checkTold(f)
	if s.lost[e.p.side] || to.closed {
		return
	}
	at := w.now.Add(e.p.wire.delay + w.upTo(e.p.wire.delay))
	if at.Before(to.arrives) {
		at = to.arrives
	}
	to.arrives = at
	if b, ok := f.(*link.Batch); ok {
		f = b.Clone() // the session uses its memory again
	}
	to.inbox = append(to.inbox, f)
	w.at(at, to.deliver)
}

// deliver takes the first frame that is under way, unless the daemon is stopped.
func (e *end) deliver() {
	w, p := e.p.n.w, e.p
	if e.closed || len(e.inbox) == 0 {
		return
	}
	if w.now.Before(p.n.stoppedUntil) {
		w.at(p.n.stoppedUntil, e.deliver)
		return
	}
	if p.asks == e { // nothing more is read before the peer is admitted
		w.after(time.Millisecond, e.deliver)
		return
	}
	f := e.inbox[0]
	e.inbox = e.inbox[1:]
	e.heard = w.now
	w.frames++
	w.tracef("%v gets on stream %d %s", p, e.id, shownFrame{f})
	switch f := f.(type) {
	case nil:
		e.close("the peer has ended the stream", true)
	case *link.Greeting:
		if p.asks != nil {
			p.asks.close("another one is asking", true)
		}
		e.greeting, p.asks, p.probing = f, e, w.now.Add(4*time.Second)
		p.admit()
	default:
		e.take(f)
	}
}

func (e *end) take(f link.Frame) {
	p := e.p
	l := p.current
	if l == nil || p.stream != e {
		return
	}
	if t, ok := f.(*link.Topology); ok {
		if err := p.takeTopology(t); err != nil {
			p.n.w.tracef("%v: %v", p, err)
			l.End(p.n.w.now, link.Errorf(link.Clash, "%v", err), false)
		}
		l.touch()
		return
	}
	if p.takeExplain(f) {
		return
	}
	p.checkDrained(f)
	err := l.TakeFrame(p.n.w.now, f)
	if i, ok := f.(*link.Interest); ok && err == nil {
		l.listen()
		p.n.interest.take(p, i)
	}
	if le, ok := err.(*link.Error); ok && le.Remote { //nolint:errorlint // TakeFrame wraps nothing
		e.close(err.Error(), true)
	}
	if le, ok := f.(*link.Error); ok {
		e.close(le.Error(), true)
	}
	l.touch()
}

// watch ends a stream whose peer is silent or takes nothing.
func (e *end) watch() {
	w := e.p.n.w
	w.after(time.Second, func() {
		l := e.p.current
		switch {
		case e.closed || l == nil:
			return
		case w.now.Before(e.p.n.stoppedUntil) || len(e.inbox) > 0 && w.now.After(e.arrives):
			e.heard = w.now // it was we who were stopped
		case w.now.Sub(e.heard) >= link.SilentAfter:
			e.close("silent", true)
			return
		case l.Stuck(w.now):
			e.close("no progress", true)
			return
		}
		e.watch()
	})
}

// close ends the stream here. tell: the other side is told, after what is under way to
// it, or instead of some of that.
func (e *end) close(why string, tell bool) {
	if e.closed {
		return
	}
	p, w := e.p, e.p.n.w
	w.tracef("%v closes stream %d: %s", p, e.id, why)
	e.closed, e.inbox = true, nil
	e.sender.dead = true
	if p.asks == e {
		p.asks = nil
	}
	if p.stream == e {
		p.stream = nil
		if l := p.current; l != nil {
			l.Detach(w.now, link.Errorf(link.Expired, "%s", why))
			l.touch()
		}
	}
	if p.side == 0 {
		p.wire.dialler.wakeAt(w.now.Add(w.upTo(500 * time.Millisecond)))
	}
	to := e.s.ends[1-p.side]
	if !tell || e.s.lost[p.side] || to.closed {
		return
	}
	if w.chance(2) { // a reset overtakes what is under way
		to.inbox = to.inbox[:w.rng.IntN(len(to.inbox)+1)]
	}
	e.closeOther(to)
}

func (e *end) closeOther(to *end) {
	w := e.p.n.w
	at := w.now.Add(e.p.wire.delay + w.upTo(e.p.wire.delay))
	if at.Before(to.arrives) {
		at = to.arrives
	}
	to.arrives = at
	to.inbox = append(to.inbox, nil)
	w.at(at, to.deliver)
}

// cut breaks the stream: each side gets a part of what is under way, and finds out in its
// own time.
func (s *stream) cut() {
	for _, e := range s.ends {
		if e.closed {
			continue
		}
		w := e.p.n.w
		e.inbox = e.inbox[:w.rng.IntN(len(e.inbox)+1)]
		s.lost[1-e.p.side] = true
		at := w.now.Add(w.upTo(50 * time.Millisecond))
		if at.Before(e.arrives) {
			at = e.arrives
		}
		w.at(at, func() { e.close("cut", false) })
	}
}

// A shownFrame is a frame as a trace shows it.
type shownFrame struct{ link.Frame }

// String describes the frame.
func (s shownFrame) String() string {
	switch f := s.Frame.(type) {
	case nil:
		return "its end"
	case *link.Batch:
		return sprintf("batch %d+%d ack %d", f.First, len(f.Messages), f.Ack)
	case *link.Greeting:
		return sprintf("greeting of %x, session %x, expects %d", f.Instance[:2], f.Session[:2], f.Expected)
	default:
		return sprintf("%T %+v", f, f)
	}
}
