package sim

import (
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
)

// What the peer is told at the end of a drain.
const (
	drainedQuiet = "drained"
	drainedLate  = "drained, with something still open"
)

// drain does what a daemon does to end a link in good order. over is called when the
// epoch has ended, unless the daemon is killed before.
func (p *peering) drain(over func()) {
	w, l := p.n.w, p.current
	if l == nil {
		over()
		return
	}
	w.tracef("%v drains", p)
	why := drainedLate
	if p.stream != nil {
		l.Drain("drain")
		l.touch()
		end := w.now.Add(w.cfg.limpet.DrainTimeout)
		l.look(func() bool {
			switch {
			case l.closed:
				return true
			case l.Quiet(must(l.ksock.NumMessages())):
				why = drainedQuiet
				w.quiet++
				return true
			default:
				return p.stream == nil || !w.now.Before(end)
			}
		}, func() { l.finish(why, over) })
		return
	}
	l.finish(why, over)
}

// finish ends the epoch, and calls over when it has ended and its stream is closed.
func (l *epoch) finish(why string, over func()) {
	p := l.p
	stream := p.stream
	l.End(p.n.w.now, link.Errorf(link.GoingAway, "%s", why), false)
	l.touch()
	l.look(func() bool { return l.closed && (stream == nil || stream.closed) }, over)
}

// look calls then once done reports true, which is asked every 10 ms, like all that the
// daemon does: not while it is stopped, and never when it has been killed.
func (l *epoch) look(done func() bool, then func()) {
	n, w := l.p.n, l.p.n.w
	life := n.instance
	var again func()
	again = func() {
		switch {
		case n.instance != life:
		case w.now.Before(n.stoppedUntil):
			w.at(n.stoppedUntil, again)
		case done():
			then()
		default:
			w.after(10*time.Millisecond, again)
		}
	}
	w.after(w.upTo(10*time.Millisecond), again)
}

// drain stops the daemon in good order, and starts it again; its bus may go with it.
func (n *node) drain(bus bool) {
	w := n.w
	if n.draining {
		return
	}
	w.tracef("FAULT: daemon %d is told to stop", n.network)
	w.drains++
	n.draining = true
	left := len(n.peerings)
	for _, p := range n.peerings {
		p.drain(func() {
			if left--; left == 0 {
				n.restart(bus)
			}
		})
	}
}

// checkDrained holds a peer's word that it has drained against what waits here for it.
func (p *peering) checkDrained(f link.Frame) {
	e, ok := f.(*link.Error)
	if !ok || e.Message != drainedQuiet {
		return
	}
	if c := p.counts(); c.Open > 0 {
		p.n.w.wrong("%v: the peer has drained the link and ends it with %d requests open", p, c.Open)
	}
}
