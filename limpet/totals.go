package limpet

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/tap"
	"github.com/kbus-limpet/limpet/limpet/trace"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// Totals count what a peering has carried over all its epochs. They never start again.
// They are not safe for concurrent use.
type Totals struct {
	// FromBus messages were read from our bus; FromPeer ones were brought by the peer in
	// the epochs before this one.
	FromBus, FromPeer uint64
	// DeliveredThere were acknowledged by the peer in the epochs before this one,
	// DeliveredHere were taken by our bus.
	DeliveredThere, DeliveredHere uint64
	// ToPeer messages were given to streams in the epochs before this one.
	ToPeer uint64
	// WindowFull counts the times that the window had no room, QueueFull those that our
	// queue on the bus was seen at its bound.
	WindowFull, QueueFull uint64
	// UnknownFrames were ignored; Resyncs counts tables that had to be told again.
	UnknownFrames, Resyncs uint64
	// Took are the times from when a request was read from our bus to the peer's reply,
	// AskedTook those from when one of the peer's was sent there to the reply there.
	Took, AskedTook translate.Durations

	fromBusEnded  [translate.NumReasons]uint64
	fromPeerEnded [translate.NumReasons]uint64
	ledger        translate.Stats // of the epochs before this one
	binds         bindRate

	// OnDrop, unless nil, is told of each message that was lost.
	OnDrop func(fromPeer bool, why translate.Reason, m *kbusdev.Message)
	// Tap, unless nil, is where messages are shown to those who look.
	Tap *tap.Point

	read reading
}

func (t *Totals) fromBus(why translate.Reason, m *kbusdev.Message) {
	t.fromBusEnded[why]++
	if t.OnDrop != nil && why.Loss() {
		t.OnDrop(false, why, m)
	}
	if t.Tap.On() {
		t.showDropped(tap.ToPeer, why, m)
	}
}

func (t *Totals) fromPeer(why translate.Reason, m *kbusdev.Message) {
	t.fromPeerEnded[why]++
	if t.OnDrop != nil && why.Loss() {
		t.OnDrop(true, why, m)
	}
	if t.Tap.On() {
		t.showDropped(tap.FromPeer, why, m)
	}
}

// settle adds what a session has counted, once it is over.
func (t *Totals) settle(s link.Stats) {
	t.DeliveredThere += s.Delivered
	t.FromPeer += s.Received
	t.ToPeer += s.Sent
	t.UnknownFrames += s.UnknownFrames
}

// Counts are what a peering has carried. At every moment Requests = Replies +
// Synthetic + Open, and for each direction what came in is the sum of what ended and
// what is in flight.
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
	// QueueBound is how many messages that queue takes; 0 if there is no epoch.
	QueueBound uint64
	// WindowFull counts the times that the send window had no room.
	WindowFull uint64
	// UnknownFrames were ignored.
	UnknownFrames uint64
	// Resyncs counts the tables of the peer's that had to be told again.
	Resyncs uint64
	// Took and AskedTook are as in Totals.
	Took, AskedTook translate.Durations
	// Busy is what is queued or being done inside the limpet itself, answers and
	// binds among it, and frames not acknowledged: 0 when it is at rest.
	Busy int
}

// counts returns the totals, with those of an epoch that is not settled added.
func (t *Totals) counts(s link.Stats, ledger translate.Stats) Counts {
	c := Counts{
		Stats:         ledger,
		FromBus:       t.FromBus,
		FromBusEnded:  map[string]uint64{"delivered": t.DeliveredThere + s.Delivered},
		FromPeer:      t.FromPeer + s.Received,
		FromPeerEnded: map[string]uint64{"delivered": t.DeliveredHere},
		ToPeer:        t.ToPeer + s.Sent,
		QueueFull:     t.QueueFull,
		WindowFull:    t.WindowFull,
		UnknownFrames: t.UnknownFrames + s.UnknownFrames,
		Resyncs:       t.Resyncs,
		Took:          t.Took,
		AskedTook:     t.AskedTook,
	}
	c.Requests += t.ledger.Requests
	c.Replies += t.ledger.Replies
	c.Synthetic += t.ledger.Synthetic
	for r := range translate.NumReasons {
		if n := t.fromBusEnded[r]; n > 0 {
			c.FromBusEnded[translate.Reason(r).String()] = n
		}
		if n := t.fromPeerEnded[r]; n > 0 {
			c.FromPeerEnded[translate.Reason(r).String()] = n
		}
	}
	c.FromBusInFlight = c.FromBus - sum(c.FromBusEnded)
	c.FromPeerInFlight = c.FromPeer - sum(c.FromPeerEnded)
	return c
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// Counts returns the peering's counts now.
func (e *Epoch) Counts() Counts {
	s := e.session.Stats()
	busy := len(e.todo) + e.doing + s.Waiting + s.Unacked + len(e.overflow) + e.toTell.Len() + e.wants.untold() + e.held.count() + e.session.Waiting()
	if e.answered {
		s = link.Stats{}
	}
	c := e.counts.counts(s, e.rules.Stats())
	c.Busy = busy
	return c
}

// Counts returns the peering's counts between epochs.
func (t *Totals) Counts() Counts { return t.counts(link.Stats{}, translate.Stats{}) }

// Closed tells that the epoch is over and its Ksock closed: the bus has answered the
// requests that were still open. Its ledger is added to the totals; it must not be used
// any more, but for Why and Carried.
func (e *Epoch) Closed() {
	if r := e.rec; r != nil {
		r.closed(e)
		return
	}
	e.rules.GiveNames()
	e.wants.forget()
	e.tracer.Cut(e.now, trace.Client) // those are left to the bus, or it has failed
	t, ledger := e.counts, e.rules.Stats()
	t.ledger.Requests += ledger.Requests
	t.ledger.Replies += ledger.Replies
	t.ledger.Synthetic += ledger.Synthetic + ledger.Open
}

// Oldest returns since when the oldest message waits for the peer's acknowledgement, and
// since when the oldest request of our bus, and of the peer's on our bus, is open; zero if
// none is. It looks at all that is open.
func (e *Epoch) Oldest() (unacknowledged, open, asked time.Time) {
	open, asked = e.rules.Oldest()
	if !e.answered {
		unacknowledged = e.session.Oldest()
	}
	return unacknowledged, open, asked
}
