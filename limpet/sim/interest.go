package sim

import (
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/table"
)

// An interest is what is wanted to be heard on a node's bus and behind its links, as a
// daemon keeps it.
type interest struct {
	n       *node
	names   *table.Interest
	limpets map[kbusdev.KsockID]bool // those whose bindings do not count
	stop    func()
}

// The source that our own bus is; wires count from 1.
const localBus table.Source = 0

func newInterest(n *node) *interest {
	i := &interest{n: n, names: table.NewInterest(), limpets: make(map[kbusdev.KsockID]bool)}
	i.stop = n.bus.WatchListeners(func(b kbusdev.Binding, bound bool) {
		if i.limpets[b.Ksock] {
			return
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

// begin begins to note what a peer wants. What it wanted in an epoch that this one
// replaces stands until it has told anew.
func (i *interest) begin(p *peering) {
	tells := i.n.w.cfg.interest
	if p.wanted != nil && tells {
		return
	}
	i.wantNothing(p)
	var changes []table.Change
	p.wanted, changes = i.names.Begin(p.wire.source, tells)
	i.tellAll(changes)
}

func (i *interest) wantNothing(p *peering) {
	p.wanted = nil
	i.tellAll(i.names.Drop(p.wire.source))
}

func (i *interest) take(p *peering, f *link.Interest) {
	if p.wanted != nil {
		i.tellAll(p.wanted.Take(f.Restart, f.Wanted, f.Unwanted, f.Whole))
	}
}

func (i *interest) tellAll(changes []table.Change) {
	for _, c := range changes {
		i.tell(c)
	}
}
