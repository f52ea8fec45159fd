package sim

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// trouble makes one fault after the other, until the world is healed.
func (w *World) trouble() {
	w.after(w.upTo(2*w.cfg.faultEvery), func() {
		if w.healed {
			return
		}
		w.fault()
		w.trouble()
	})
}

// fault makes one fault.
func (w *World) fault() {
	x := w.wires[w.rng.IntN(len(w.wires))]
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if w.cfg.upkeep && w.chance(6) {
		w.upkeep(x, n)
		return
	}
	switch w.rng.IntN(11) {
	case 0, 1, 2:
		if x.stream != nil {
			w.tracef("FAULT: stream %d is cut", x.stream.id)
			x.stream.cut()
		}
		if w.chance(4) {
			x.downTil = w.now.Add(w.upTo(w.cfg.longest))
			w.tracef("FAULT: nobody can dial for %v", x.downTil.Sub(w.now))
		}
	case 3:
		if x.stream != nil {
			side := w.rng.IntN(2)
			w.tracef("FAULT: what %v sends on stream %d is lost", x.ends[side], x.stream.id)
			x.stream.lost[side] = true
			if w.chance(2) {
				x.stream.lost[1-side] = true
			}
		}
	case 4:
		n.stoppedUntil = w.now.Add(w.upTo(w.upTo(w.cfg.longest)))
		w.tracef("FAULT: daemon %d is stopped for %v", n.network, n.stoppedUntil.Sub(w.now))
	case 5:
		n.slow = w.upTo(w.upTo(300 * time.Millisecond))
		w.tracef("FAULT: daemon %d is slow by %v", n.network, n.slow)
	case 6, 7:
		r := w.repliers[w.rng.IntN(len(w.repliers))]
		if w.chance(2) {
			r.unbind()
		} else {
			r.die()
		}
	case 8:
		r := w.repliers[w.rng.IntN(len(w.repliers))]
		r.stoppedUntil = w.now.Add(w.upTo(5 * time.Second))
		w.tracef("FAULT: replier %s is stopped for %v", r.name, r.stoppedUntil.Sub(w.now))
	case 10:
		w.listeners[w.rng.IntN(len(w.listeners))].die()
	case 9:
		if w.cfg.restarts && w.chance(2) {
			n.restart(w.chance(3))
		} else {
			a := w.askers[w.rng.IntN(len(w.askers))]
			a.die()
		}
	}
}

// upkeep drains a daemon or a link, or makes a table wrong.
func (w *World) upkeep(x *wire, n *node) {
	p := x.ends[w.rng.IntN(2)]
	switch w.rng.IntN(4) {
	case 0:
		n.drain(w.chance(3))
	case 1:
		w.tracef("FAULT: %v is to be drained", p)
		w.drains++
		p.drain(func() {})
	case 2:
		p.digest()
	case 3:
		p.spoil()
	}
}

// heal ends all faults.
func (w *World) heal() {
	w.healed = true
	w.tracef("healed")
	for _, n := range w.nodes {
		n.stoppedUntil, n.slow = time.Time{}, min(n.slow, 5*time.Millisecond)
		for _, p := range n.peerings {
			p.spoils = min(p.spoils, 1) // what is told again to mend a table is not to be spoiled too
		}
	}
	for _, r := range w.repliers {
		r.stoppedUntil = time.Time{}
		r.wake()
	}
	if w.chance(2) { // one last cut, when nobody says anything new
		w.after(w.upTo(500*time.Millisecond), func() {
			w.tracef("FAULT: everything is cut for the last time")
			for _, x := range w.wires {
				if x.stream != nil {
					x.stream.cut()
				}
			}
		})
	}
	for _, x := range w.wires {
		x.delay, x.downTil = min(x.delay, 5*time.Millisecond), time.Time{}
		if x.stream != nil && (x.stream.lost[0] || x.stream.lost[1]) {
			x.stream.cut() // who has gone silent is found out in its own time
		}
		x.dialler.wake()
	}
}

// restart kills the daemon and starts it again; its bus may go with it.
func (n *node) restart(bus bool) {
	w := n.w
	w.tracef("FAULT: daemon %d starts anew, with a new bus: %v", n.network, bus)
	w.restarts++
	w.lastEnd, w.linkedAt = w.now, time.Time{}
	n.interest.stop()
	for _, p := range n.peerings {
		p.vanish()
	}
	// Of three buses that start their serial numbers again within a minute, one is taken
	// for another.
	if bus && n.busAge == 0 {
		n.busAge++
		n.newBus()
	}
	n.start()
	for _, p := range n.peerings {
		if p.side == 0 {
			p.wire.dialler.wakeAt(w.now.Add(w.upTo(3 * time.Second)))
		}
	}
}

// vanish is how a peering ends when its process is killed.
func (p *peering) vanish() {
	w := p.n.w
	if s := p.wire.stream; s != nil {
		quiet := w.chance(3) // a machine that loses its power tells nobody
		if quiet {
			s.lost[p.side] = true
		}
		s.ends[p.side].close("killed", !quiet)
	}
	for _, e := range []*end{p.asks, p.stream} {
		if e != nil {
			e.close("killed", true)
		}
	}
	if l := p.current; l != nil {
		l.closed, l.reader.dead, l.writer.dead = true, true, true
		w.missed(p.n, l.ksock)
		_ = l.ksock.Close()
	}
	*p = peering{n: p.n, wire: p.wire, side: p.side, may: p.may, renames: p.renames}
}

// newBus replaces the bus: every program on it dies, and comes back on the new one.
func (n *node) newBus() {
	w := n.w
	n.bus = membus.New(membus.WithFirstSerial(w.rng.Uint32() >> 1))
	for _, r := range w.repliers {
		if r.n == n {
			r.die()
		}
	}
	for _, a := range w.askers {
		if a.n == n {
			a.die()
		}
	}
	for _, a := range w.announcers {
		if a.n == n {
			a.open()
		}
	}
	for _, l := range w.listeners {
		if l.n == n {
			l.die()
		}
	}
}
