package limpet

import "time"

// topologyEvery is how often a peer is told of changes of the topology, at most. The
// first is told at once; when many peers join a hub, one frame tells each of several.
const topologyEvery = 250 * time.Millisecond

// OweTopology notes that the peer may have to be told what lies behind us. It reports
// whether that is news, so that the sender must be woken.
func (e *Epoch) OweTopology() (news bool) {
	if r := e.rec; r != nil {
		return r.oweTopology(e)
	}
	news = !e.topologyOwed
	e.topologyOwed = true
	return news
}

// TopologyDue reports whether the peer is to be told now what has changed behind us. That
// is the node's to say; the epoch counts it as said.
func (e *Epoch) TopologyDue(now time.Time) bool {
	if e.why != nil || !e.topologyOwed || now.Before(e.topologyAt) {
		return false
	}
	if r := e.rec; r != nil {
		r.topologyTaken(e, now)
	}
	e.topologyOwed = false
	return true
}

// TopologyTold notes that there was something to tell.
func (e *Epoch) TopologyTold(now time.Time) {
	if r := e.rec; r != nil {
		r.topologyTold(e, now)
		return
	}
	e.topologyAt = now.Add(topologyEvery)
}

// orTopology returns the earlier one of a time and of when TopologyDue reports true.
func (e *Epoch) orTopology(at time.Time) time.Time {
	if e.why == nil && e.topologyOwed && e.topologyAt.Before(at) {
		return e.topologyAt
	}
	return at
}
