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

// wantAll makes a peer count as wanting everything, until it has told what it wants.
// n.mu is held.
func (n *Node) wantAll(p *Peering) {
	n.wantNothing(p)
	var changes []table.Change
	p.wanted, changes = n.interest.Begin(tableSource(p))
	n.tellAll(changes)
}

// wantNothing forgets what a peer wants. n.mu is held.
func (n *Node) wantNothing(p *Peering) {
	p.wanted = nil
	n.tellAll(n.interest.Drop(tableSource(p)))
}

// takeInterest notes what a peer says that it wants, for the other links. Its epoch
// has found nothing wrong with it.
func (n *Node) takeInterest(p *Peering, f *link.Interest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.wanted != nil { // else its epoch has ended
		n.tellAll(p.wanted.Take(f.Restart, f.Wanted, f.Unwanted, f.Whole))
	}
}

// tellAll tells the peers of changes. n.mu is held.
func (n *Node) tellAll(changes []table.Change) {
	for _, c := range changes {
		n.tellInterest(c)
	}
}
