package limpet

import (
	"maps"
	"slices"
	"time"

	"github.com/kbus-limpet/limpet/limpet/translate"
)

// Carried is what the links of one name have carried since the node was made. Nothing of it
// ever becomes less. The fields are as in Counts and Status.
type Carried struct {
	Replies, Synthetic                            uint64
	FromBusEnded, FromPeerEnded                   map[string]uint64
	QueueFull, WindowFull, UnknownFrames, Resyncs uint64
	Epochs, Resumed                               uint64
	Took, AskedTook                               translate.Durations
}

// plus adds o so many times; ^uint64(0) takes it away once, for unsigned numbers go round.
func (c *Carried) plus(o *Carried, times uint64) {
	c.Replies += times * o.Replies
	c.Synthetic += times * o.Synthetic
	c.QueueFull += times * o.QueueFull
	c.WindowFull += times * o.WindowFull
	c.UnknownFrames += times * o.UnknownFrames
	c.Resyncs += times * o.Resyncs
	c.Epochs += times * o.Epochs
	c.Resumed += times * o.Resumed
	c.FromBusEnded = plus(c.FromBusEnded, o.FromBusEnded, times)
	c.FromPeerEnded = plus(c.FromPeerEnded, o.FromPeerEnded, times)
	for i := range c.Took.Counts {
		c.Took.Counts[i] += times * o.Took.Counts[i]
		c.AskedTook.Counts[i] += times * o.AskedTook.Counts[i]
	}
	c.Took.Sum += time.Duration(times) * o.Took.Sum
	c.AskedTook.Sum += time.Duration(times) * o.AskedTook.Sum
}

func plus(all, others map[string]uint64, times uint64) map[string]uint64 {
	if all == nil {
		all = make(map[string]uint64)
	}
	for fate, n := range others {
		all[fate] += times * n
	}
	return all
}

const minusOnce = ^uint64(0)

// carried returns what of a status only grows.
func (st *Status) carried() Carried {
	n := &st.Counts
	return Carried{
		Replies: n.Replies, Synthetic: n.Synthetic, FromBusEnded: n.FromBusEnded, FromPeerEnded: n.FromPeerEnded,
		QueueFull: n.QueueFull, WindowFull: n.WindowFull, UnknownFrames: n.UnknownFrames, Resyncs: n.Resyncs,
		Epochs: st.Epochs, Resumed: st.Resumed, Took: n.Took, AskedTook: n.AskedTook,
	}
}

// OtherLinks is the name under which links that peers have opened are counted when there
// have been so many names already that a stranger could fill a monitoring with more.
const OtherLinks = "other"

// maxCountedNames bounds the names of links that peers have opened, over the node's life.
const maxCountedNames = maxPeerings

// kept are the counts of peerings that are gone, by name. It is guarded by Node.mu.
type kept struct {
	byName   map[string]*Carried
	accepted map[string]bool // names of peers' links
}

// name decides under which name a peering is counted.
func (k *kept) name(p *Peering) {
	if p.countedAs != "" {
		return
	}
	p.countedAs = p.name
	switch {
	case p.dialled || k.accepted[p.name]:
	case len(k.accepted) >= maxCountedNames:
		p.countedAs = OtherLinks
	default:
		if k.accepted == nil {
			k.accepted = make(map[string]bool)
		}
		k.accepted[p.name] = true
	}
}

// keep keeps what a peering that is about to go, or has gone, has counted since the last
// time.
func (k *kept) keep(p *Peering) {
	if k.byName == nil {
		k.byName = make(map[string]*Carried)
	}
	if k.byName[p.countedAs] == nil {
		k.byName[p.countedAs] = new(Carried)
	}
	st, _ := p.status()
	now := st.carried()
	k.byName[p.countedAs].plus(&now, 1)
	k.byName[p.countedAs].plus(&p.kept, minusOnce)
	p.kept = now
}

// A Telemetry is what is to be known of the links of one name.
type Telemetry struct {
	// Name is the peerings' name, or OtherLinks.
	Name string
	// Carried is what they all have carried, those that are gone among them.
	Carried Carried
	// Peerings are those that there are; most often one.
	Peerings []PeeringTelemetry
}

// A PeeringTelemetry is the status of a peering, and more.
type PeeringTelemetry struct {
	Status
	// Dialled says that we dial the peer, Classic that it is one of upstream's limpets.
	Dialled, Classic bool
	// OldestUnacknowledged is when the oldest message for the peer was queued that it has
	// not acknowledged; OldestOpen when the oldest request was read from our bus, and
	// OldestAsked when the oldest of the peer's was sent there, that has no reply yet. They
	// are zero if there is none.
	OldestUnacknowledged, OldestOpen, OldestAsked time.Time

	epoch *live // nil if there is none
}

// addWaiting adds what the bus and the epoch, if there is one, must be asked for. node.mu is
// not held, for with many open requests that takes milliseconds.
func (t *PeeringTelemetry) addWaiting() {
	l := t.epoch
	if l == nil {
		return
	}
	t.addQueued(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	t.OldestUnacknowledged, t.OldestOpen, t.OldestAsked = l.epoch.Oldest()
}

// Telemetry returns what is to be known of all links there are and were, by name.
func (n *Node) Telemetry() []Telemetry {
	n.mu.Lock()
	byName := make(map[string]*Telemetry)
	of := func(name string) *Telemetry {
		if byName[name] == nil {
			byName[name] = &Telemetry{Name: name}
		}
		return byName[name]
	}
	for name, c := range n.kept.byName {
		of(name).Carried.plus(c, 1)
	}
	for _, p := range n.peerings {
		st, l := p.status()
		t := of(p.countedAs)
		now := st.carried()
		t.Carried.plus(&now, 1)
		t.Carried.plus(&p.kept, minusOnce)
		t.Peerings = append(t.Peerings, PeeringTelemetry{Status: st, Dialled: p.dialled, Classic: p.classic, epoch: l})
	}
	n.mu.Unlock()
	all := make([]Telemetry, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, *byName[name])
	}
	for _, t := range all {
		for i := range t.Peerings {
			t.Peerings[i].addWaiting()
		}
	}
	return all
}
