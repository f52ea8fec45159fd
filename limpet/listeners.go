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
// is bound or unbound, in order, perhaps under the bus's lock. f must be quick and call
// nothing of the bus.
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
	limpets map[kbusdev.KsockID]ownKsock // those whose bindings do not count
	wake    chan struct{}
}

// A listenerEvent is a name bound or unbound, or the end of a Ksock that was excluded.
type listenerEvent struct {
	binding kbusdev.Binding
	bound   bool
	closed  bool
}

// An ownKsock is an id of which a Ksock of the daemon's own is open, or has bindings: a
// bus that is polled tells of them, and of their end, later than they are. When such a
// bus is started again the id may come again, so that another one is open already.
type ownKsock struct{ open, bindings int }

// watchListeners starts to follow the bus's listeners, if it tells of them.
func (n *Node) watchListeners() {
	l := &listeners{node: n, done: make(chan struct{}), limpets: make(map[kbusdev.KsockID]ownKsock), wake: make(chan struct{}, 1)}
	n.listeners = l
	bus, ok := n.bus.(listenerWatcher)
	if !ok {
		close(l.done)
		return
	}
	n.watching = true
	l.end = bus.WatchListeners(func(b kbusdev.Binding, bound bool) {
		l.put(listenerEvent{binding: b, bound: bound})
	})
	go l.run(l.wake)
}

func (l *listeners) put(ev listenerEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, ev)
	signal(l.wake)
}

// exclude makes the bindings of a limpet's Ksock not count. It is called before the
// Ksock binds anything.
func (l *listeners) exclude(k kbusdev.KsockID) {
	if !l.node.watching {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.limpets[k]
	own.open++
	l.limpets[k] = own
}

// include ends what exclude began. It is called after the Ksock is closed.
func (l *listeners) include(k kbusdev.KsockID) {
	if l.node.watching {
		l.put(listenerEvent{binding: kbusdev.Binding{Ksock: k}, closed: true})
	}
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
		events = slices.DeleteFunc(events, l.own)
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

// own notes an event of a Ksock of the daemon's own, and reports whether it is one. l.mu
// is held.
func (l *listeners) own(ev listenerEvent) bool {
	k, ours := l.limpets[ev.binding.Ksock]
	switch {
	case !ours:
		return ev.closed
	case ev.closed:
		k.open--
	case ev.bound:
		k.bindings++
	default:
		k.bindings--
	}
	l.limpets[ev.binding.Ksock] = k
	if k == (ownKsock{}) {
		delete(l.limpets, ev.binding.Ksock)
	}
	return true
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

// beginWanted begins to note what a peer wants. What it wanted in an epoch that this one
// replaces stands until it has told anew. n.mu is held.
func (n *Node) beginWanted(p *Peering, peer *link.Greeting) {
	tells := n.tellsInterest(p, peer)
	if p.wanted != nil && tells {
		return
	}
	n.wantNothing(p)
	var changes []table.Change
	p.wanted, changes = n.interest.Begin(tableSource(p), tells)
	n.tellAll(changes)
}

// tellsInterest reports whether both sides of a link tell what they want.
func (n *Node) tellsInterest(p *Peering, peer *link.Greeting) bool {
	return n.watching && hasFeature(peer, featureInterest) && !p.cfg.AllInterest
}

// wantNothing forgets what a peer wants. n.mu is held.
func (n *Node) wantNothing(p *Peering) {
	p.wanted = nil
	n.tellAll(n.interest.Drop(tableSource(p)))
}

// takeInterest notes what a peer says that it wants, for the other links. Its epoch
// has found nothing wrong with it. crowded: it wants more names than it may, and so
// everything.
func (n *Node) takeInterest(p *Peering, f *link.Interest, crowded bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case p.wanted == nil: // its epoch has ended
	case crowded:
		changes, news := p.wanted.TakeEverything()
		if news {
			p.log.Warn("the peer wants more names than it may, and gets everything", "names", p.cfg.MaxNames)
		}
		n.tellAll(changes)
	default:
		n.tellAll(p.wanted.Take(f.Restart, f.Wanted, f.Unwanted, f.Whole))
	}
}

// tellAll tells the peers of changes. n.mu is held.
func (n *Node) tellAll(changes []table.Change) {
	for _, c := range changes {
		n.tellInterest(c)
	}
}
