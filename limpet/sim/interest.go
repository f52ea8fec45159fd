package sim

import (
	"maps"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/table"
)

// An interest is what is wanted to be heard on a node's bus and behind its links, as a
// daemon keeps it.
type interest struct {
	n     *node
	names *table.Interest
	stop  func()
}

// wanted is what the peer of a link has said that it wants.
type wanted struct {
	names map[string]bool
	next  map[string]bool // while it tells everything anew
	all   bool
}

// The source that our own bus is; wires count from 1.
const localBus table.Source = 0

func newInterest(n *node) *interest {
	i := &interest{n: n, names: table.NewInterest()}
	i.stop = n.bus.WatchListeners(func(b kbusdev.Binding, bound bool) {
		if b.Name == "$.*" {
			return // no program here binds that, the limpets do
		}
		n.w.at(n.w.now, func() {
			if n.interest == i {
				i.change(localBus, b.Name, bound)
			}
		})
	})
	return i
}

func (i *interest) change(s table.Source, name string, more bool) {
	change := i.names.Remove
	if more {
		change = i.names.Add
	}
	if c, changed := change(s, name); changed {
		i.tell(c)
	}
}

func (i *interest) tell(c table.Change) {
	for _, p := range i.n.peerings {
		if p.current != nil && c.Concerns(p.wire.source) {
			p.current.WantChanged(c.Name, c.Wanted)
			p.current.touch()
		}
	}
}

// wantAll makes a peer count as wanting everything, until it has told what it wants.
func (i *interest) wantAll(p *peering) {
	i.wantNothing(p)
	p.wanted = wanted{names: make(map[string]bool), all: true}
	i.change(p.wire.source, "$.*", true)
}

func (i *interest) wantNothing(p *peering) {
	p.wanted = wanted{}
	for _, c := range i.names.Drop(p.wire.source) {
		i.tell(c)
	}
}

func (i *interest) take(p *peering, f *link.Interest) {
	w, s := &p.wanted, p.wire.source
	if w.names == nil {
		return
	}
	if f.Restart {
		w.next = make(map[string]bool)
	}
	for _, name := range f.Wanted {
		switch {
		case w.next != nil:
			w.next[name] = true
		case !w.names[name]:
			w.names[name] = true
			i.change(s, name, true)
		}
	}
	for _, name := range f.Unwanted {
		switch {
		case w.next != nil:
			delete(w.next, name)
		case w.names[name]:
			delete(w.names, name)
			i.change(s, name, false)
		}
	}
	if !f.Whole || w.next == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(w.next)) {
		if !w.names[name] {
			i.change(s, name, true)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.names)) {
		if !w.next[name] {
			i.change(s, name, false)
		}
	}
	if w.all {
		i.change(s, "$.*", false)
	}
	*w = wanted{names: w.next}
}
