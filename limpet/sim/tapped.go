package sim

import (
	"maps"

	"github.com/kbus-limpet/limpet/limpet/tap"
)

// A tapped is a tap of all links, and what it has shown of each; in one seed of three.
type tapped struct {
	hub   tap.Hub
	tap   *tap.Tap // nil: nobody looks
	links int
	shown map[string]*passed
}

// passed is what was shown of a link.
type passed struct {
	read  uint64               // of our bus
	ended [2]map[string]uint64 // on the way to the peer, and from it
}

// look begins to look at all links.
func (x *tapped) look() {
	x.tap = must(x.hub.Open(tap.Config{Rate: tap.MaxRate}))
	x.shown = make(map[string]*passed)
}

// point gives a link its place, under a name of its own.
func (x *tapped) point(p *peering) {
	if x.tap != nil && p.totals.Tap == nil {
		x.links++
		p.tapped = sprintf("%d", x.links)
		p.totals.Tap = x.hub.Point(p.tapped)
	}
}

// take counts what has been shown.
func (x *tapped) take() {
	for x.tap != nil && x.tap.Next(func(r *tap.Record) {
		l := x.shown[r.Link]
		if l == nil {
			l = &passed{ended: [2]map[string]uint64{make(map[string]uint64), make(map[string]uint64)}}
			x.shown[r.Link] = l
		}
		switch {
		case r.Own:
			return
		case r.Verdict == tap.Delivered:
			l.ended[1]["delivered"]++
		case r.Verdict == tap.Dropped:
			l.ended[r.Direction-tap.ToPeer][r.Reason.String()]++
		}
		if r.Direction == tap.ToPeer && r.Read.Name != "" {
			l.read++
		}
	}) {
	}
}

// judgeTap holds what was shown of a link against what it has counted.
func (w *World) judgeTap(p *peering) {
	l := w.tapped.shown[p.tapped]
	if l == nil {
		return // nobody looks, or nothing has passed
	}
	c := p.counts()
	for i, counted := range []map[string]uint64{c.FromBusEnded, c.FromPeerEnded} {
		maps.DeleteFunc(counted, func(why string, n uint64) bool { return n == 0 || i == 0 && why == "delivered" }) // by the peer's bus
		if !maps.Equal(l.ended[i], counted) {
			w.wrong("%v: a tap has shown that there ended %v, counted are %v", p, l.ended[i], counted)
		}
	}
	if lost := w.tapped.tap.Lost(); l.read != c.FromBus || lost != (tap.Lost{}) {
		w.wrong("%v: a tap has shown %d messages read, and lost %+v, counted are %d", p, l.read, lost, c.FromBus)
	}
}
