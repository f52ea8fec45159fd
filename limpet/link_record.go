package limpet

import (
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
)

// A State is that of a Link.
type State int

// The states of a link.
const (
	Connecting State = iota + 1
	Up
	Draining
)

// String gives the state in lower case.
func (s State) String() string {
	return [...]string{"unknown", "connecting", "up", "draining"}[s]
}

// A Link is a place for limpets, one after the other: an address that is
// dialled, or a peer that dialled us. Its methods are safe for concurrent use.
type Link struct {
	node *Node
	name string

	// Guarded by the node's mutex.
	current *Limpet
	peer    link.Peer
	behind  []link.Network

	mu      sync.Mutex
	state   State
	since   time.Time
	lastErr error
}

// NewLink adds a link to the node; Remove takes it away.
func (n *Node) NewLink(name string) *Link {
	l := &Link{node: n, name: name, state: Connecting, since: time.Now()}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[l] = struct{}{}
	n.noteChange()
	return l
}

// Remove takes the link from its node, once no limpet serves it.
func (l *Link) Remove() {
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	delete(l.node.links, l)
	l.node.noteChange()
}

// Name is what the link was made with.
func (l *Link) Name() string { return l.name }

// SetState notes the state and why it came; the log has a line for each change.
func (l *Link) SetState(s State, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != s {
		l.state, l.since = s, time.Now()
	}
	if err != nil {
		l.lastErr = err
	}
	l.node.noteChange()
}

// Limpet is the one that serves the link now, nil if it is not up.
func (l *Link) Limpet() *Limpet {
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	return l.current
}

// A LinkStatus is what a link is doing.
type LinkStatus struct {
	Name     string
	State    State
	Since    time.Time
	LastErr  error
	Peer     link.Peer      // of the last time it was up
	Behind   []link.Network // likewise
	Counts   Counts         // zero unless up
	Ksock    uint32         // likewise
	HasPeer  bool           // it has been up
	IsServed bool           // it is up
}

// Status tells what the link is doing now.
func (l *Link) Status() LinkStatus {
	l.node.mu.Lock()
	current := l.current
	st := LinkStatus{Name: l.name, Peer: l.peer, Behind: l.behind, HasPeer: l.peer.NetworkID != 0}
	l.node.mu.Unlock()
	l.mu.Lock()
	st.State, st.Since, st.LastErr = l.state, l.since, l.lastErr
	l.mu.Unlock()
	if current != nil && current.ready.Load() {
		st.Counts = current.Counts()
		st.Ksock = uint32(current.ksock.ID())
		st.IsServed = true
	}
	return st
}
