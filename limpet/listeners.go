package limpet

import (
	"slices"
	"sync"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/table"
	"github.com/kbus-limpet/limpet/limpet/topology"
)

// A listenerWatcher is a bus that tells of its listeners: all there are, then each that
// is bound or unbound, in order, under the bus's lock. f must be quick and call nothing
// of the bus.
type listenerWatcher interface {
	WatchListeners(f func(b kbusdev.Binding, bound bool)) (stop func())
}

// localBus is the source of what our own bus wants to hear; the links are sources by
// their key.
const localBus table.Source = 0

// listeners follows who listens on our bus, so that peers need not send what nobody
// wants. A bus that does not tell wants everything.
type listeners struct {
	node *Node
	end  func()
	done chan struct{}

	mu      sync.Mutex
	queue   []listenerEvent
	limpets map[kbusdev.KsockID]int // those whose bindings do not count, and how many they have
	wake    chan struct{}
}

type listenerEvent struct {
	binding kbusdev.Binding
	bound   bool
}

// watchListeners starts to follow the bus's listeners, if it tells of them.
func (n *Node) watchListeners() {
	l := &listeners{node: n, done: make(chan struct{}), limpets: make(map[kbusdev.KsockID]int), wake: make(chan struct{}, 1)}
	n.listeners = l
	bus, ok := n.bus.(listenerWatcher)
	if !ok {
		close(l.done)
		return
	}
	n.watching = true
	l.end = bus.WatchListeners(func(b kbusdev.Binding, bound bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.queue = append(l.queue, listenerEvent{binding: b, bound: bound})
		signal(l.wake)
	})
	go l.run(l.wake)
}

// exclude makes the bindings of a limpet's Ksock not count. It is called before the
// Ksock binds anything.
func (l *listeners) exclude(k kbusdev.KsockID) {
	if l.end == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limpets[k] = 0
}

func (l *listeners) stop() {
	if l.end == nil {
		return
	}
	l.end()
	l.mu.Lock()
	end := l.wake
	l.wake = make(chan struct{}, 1)
	l.mu.Unlock()
	close(end)
	<-l.done
	l.end = nil
}

// run applies the events; it ends when wake is closed.
func (l *listeners) run(wake <-chan struct{}) {
	defer close(l.done)
	for range wake {
		l.mu.Lock()
		events := l.queue
		l.queue = nil
		events = slices.DeleteFunc(events, func(ev listenerEvent) bool {
			n, ours := l.limpets[ev.binding.Ksock]
			switch {
			case !ours:
				return false
			case ev.bound:
				l.limpets[ev.binding.Ksock] = n + 1
			case n > 1:
				l.limpets[ev.binding.Ksock] = n - 1
			default:
				delete(l.limpets, ev.binding.Ksock) // it is closing, and ids are never used again
			}
			return true
		})
		l.mu.Unlock()
		l.node.mu.Lock()
		for _, ev := range events {
			var c table.Change
			var changed bool
			if ev.bound {
				c, changed = l.node.interest.Add(localBus, ev.binding.Name)
			} else {
				c, changed = l.node.interest.Remove(localBus, ev.binding.Name)
			}
			if changed {
				l.node.tellInterest(c)
			}
		}
		l.node.mu.Unlock()
	}
}

// tellInterest tells the peers that a change concerns. n.mu is held.
func (n *Node) tellInterest(c table.Change) {
	tell := func(p *Peering) {
		if p.current != nil && c.Concerns(table.Source(p.key)) {
			p.current.with(func(e *Epoch) { e.WantChanged(c.Name, c.Wanted) })
		}
	}
	if !c.AllBut {
		if p := n.peerings[topology.LinkKey(c.Link)]; p != nil {
			tell(p)
		}
		return
	}
	for _, p := range n.peerings {
		tell(p)
	}
}

// wanted is what the peer of a link wants to hear, as the other links are told.
type wanted struct {
	names map[string]struct{}
	next  map[string]struct{} // while the peer tells everything anew
	all   bool                // it counts as wanting everything
}

// wantAll makes a peer count as wanting everything, until it has told what it wants.
// n.mu is held.
func (n *Node) wantAll(p *Peering) {
	n.wantNothing(p)
	p.wanted = wanted{names: make(map[string]struct{}), all: true}
	n.changeInterest(p, "$.*", true)
}

// wantNothing forgets what a peer wants. n.mu is held.
func (n *Node) wantNothing(p *Peering) {
	p.wanted = wanted{}
	for _, c := range n.interest.Drop(table.Source(p.key)) {
		n.tellInterest(c)
	}
}

// takeInterest notes what a peer says that it wants, for the other links. Its epoch
// has found nothing wrong with it.
func (n *Node) takeInterest(p *Peering, f *link.Interest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := &p.wanted
	if w.names == nil {
		return // its epoch has ended
	}
	if f.Restart {
		w.next = make(map[string]struct{})
	}
	for _, name := range f.Wanted {
		if w.next != nil {
			w.next[name] = struct{}{}
		} else if _, known := w.names[name]; !known {
			w.names[name] = struct{}{}
			n.changeInterest(p, name, true)
		}
	}
	for _, name := range f.Unwanted {
		if w.next != nil {
			delete(w.next, name)
		} else if _, known := w.names[name]; known {
			delete(w.names, name)
			n.changeInterest(p, name, false)
		}
	}
	if f.Whole && w.next != nil {
		n.replaceWanted(p)
	}
}

// replaceWanted makes what the peer has told anew hold. What is still wanted is never
// unwanted in between. n.mu is held.
func (n *Node) replaceWanted(p *Peering) {
	w := &p.wanted
	for name := range w.next {
		if _, known := w.names[name]; !known {
			n.changeInterest(p, name, true)
		}
	}
	for name := range w.names {
		if _, still := w.next[name]; !still {
			n.changeInterest(p, name, false)
		}
	}
	if w.all {
		n.changeInterest(p, "$.*", false)
	}
	*w = wanted{names: w.next}
}

func (n *Node) changeInterest(p *Peering, name string, more bool) {
	change := n.interest.Remove
	if more {
		change = n.interest.Add
	}
	if c, changed := change(table.Source(p.key), name); changed {
		n.tellInterest(c)
	}
}
