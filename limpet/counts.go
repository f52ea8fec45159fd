package limpet

import (
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A tally counts the fates of messages. It is guarded by the limpet's mutex.
type tally struct {
	read      uint64
	fromBus   [translate.NumReasons]uint64
	delivered uint64 // to our bus
	fromPeer  [translate.NumReasons]uint64
	queueFull uint64
}

// Counts are what a limpet has carried in its epoch. At every moment
// Requests = Replies + Synthetic + Open, and for each direction what came in is
// the sum of what ended and what is in flight.
type Counts struct {
	translate.Stats
	// FromBus were read from our bus; of these FromBusEnded by reason, with
	// "delivered" for those that the peer's bus took.
	FromBus         uint64
	FromBusEnded    map[string]uint64
	FromBusInFlight uint64
	// FromPeer likewise, the other way.
	FromPeer         uint64
	FromPeerEnded    map[string]uint64
	FromPeerInFlight uint64
	// ToPeer messages were given to the link, answers of our own among them.
	ToPeer uint64
	// Queued messages wait in our Ksock; QueueFull counts how often that was seen
	// at its bound, when the bus may have dropped what cannot be known.
	Queued, QueueFull uint64
	// WindowFull counts the times the send window had no room.
	WindowFull uint64
	// UnknownFrames were ignored.
	UnknownFrames uint64
	// Busy is what is queued or being done inside the limpet itself, answers and
	// binds among it, and frames not acked: 0 when it is at rest.
	Busy int
}

// Counts gives the counts now.
func (l *Limpet) Counts() Counts {
	queued, _ := l.ksock.NumMessages()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.session.Stats()
	t := &l.counts
	c := Counts{
		Stats:         l.machine.Stats(),
		FromBus:       t.read,
		FromBusEnded:  map[string]uint64{"delivered": s.Delivered},
		FromPeer:      s.Received,
		FromPeerEnded: map[string]uint64{"delivered": t.delivered},
		ToPeer:        s.Sent,
		Queued:        uint64(queued),
		QueueFull:     t.queueFull,
		WindowFull:    s.WindowFull,
		UnknownFrames: s.UnknownFrames,
		Busy:          len(l.todo) + l.busy + s.Waiting + s.Unacked,
	}
	ended := s.Delivered
	for r, n := range t.fromBus {
		if n > 0 {
			c.FromBusEnded[translate.Reason(r).String()] = n
			ended += n
		}
	}
	c.FromBusInFlight = t.read - ended
	ended = t.delivered
	for r, n := range t.fromPeer {
		if n > 0 {
			c.FromPeerEnded[translate.Reason(r).String()] = n
			ended += n
		}
	}
	c.FromPeerInFlight = s.Received - ended
	return c
}
