package topology

import (
	"container/list"
	"maps"
	"slices"
)

// A record is one network that can be reached, or could be lately. Only its
// latest change counts, so what a slow peer is still to be told stays small.
type record struct {
	Network
	state
	seq uint64 // of the change that made this state

	// The state before, and its change. A peer that was told it needs only the
	// difference.
	wasInstance InstanceID
	was         state
	wasSeq      uint64

	place *list.Element // in live or in gone
}

// state is how a network is reached.
type state struct {
	present bool
	link    LinkKey
}

// tells reports whether the peer of a link is told of a network in this state.
func (s state) tells(key LinkKey) bool { return s.present && s.link != key }

// put notes that a network is reached by a link. It has been judged.
func (m *Map) put(key LinkKey, n Network) {
	r := m.known[n.ID]
	switch {
	case r == nil:
		r = &record{Network: n}
		m.known[n.ID] = r
	case r.present && r.link == key && r.Instance == n.Instance:
		return
	case r.Instance != n.Instance:
		m.restarted[n.ID] = struct{}{}
	}
	r.Software = n.Software
	m.links[key].brings[n.ID] = struct{}{}
	m.change(r, n.Instance, state{present: true, link: key}, key)
}

// remove notes that a network is no longer reached by the link that brought it.
func (m *Map) remove(key LinkKey, id uint32) {
	delete(m.links[key].brings, id)
	r := m.known[id]
	m.change(r, r.Instance, state{}, key)
	if m.gone.Len() > MaxNetworks {
		oldest := m.gone.Remove(m.gone.Front()).(*record)
		m.forgotten = oldest.seq
		delete(m.known, oldest.ID)
		delete(m.restarted, oldest.ID)
	}
}

func (m *Map) change(r *record, instance InstanceID, to state, by LinkKey) {
	if by != m.last {
		m.otherSeq = m.seq
		m.last = by
	}
	m.seq++
	r.wasInstance, r.was, r.wasSeq = r.Instance, r.state, r.seq
	r.Instance, r.state, r.seq = instance, to, m.seq
	if m.onRoute != nil && r.state != r.was {
		m.onRoute(r.ID, to.link, to.present)
	}
	if r.place != nil {
		from := m.gone
		if r.was.present {
			from = m.live
		}
		from.Remove(r.place)
	}
	if to.present {
		r.place = m.live.PushBack(r)
	} else {
		r.place = m.gone.PushBack(r)
	}
}

// changedFor returns the seq of the latest change that concerns the peer of a link.
func (m *Map) changedFor(key LinkKey) uint64 {
	if m.last == key {
		return m.otherSeq
	}
	return m.seq
}

// Changed returns, and forgets, the links whose peers are to be told what lies
// behind us, sorted: those that have just joined, and those for which it has
// changed since Changed listed them or Delta told them. Call Delta for each when
// its peer can be told; the later, the more it sums up.
func (m *Map) Changed() []LinkKey {
	if m.asked == m.seq && !m.fresh {
		return nil
	}
	m.asked, m.fresh = m.seq, false
	var changed []LinkKey
	for key, l := range m.links {
		if l.first && l.listed == 0 || m.changedFor(key) > l.listed {
			changed = append(changed, key)
		}
		l.listed = m.seq
	}
	slices.Sort(changed)
	return changed
}

// Delta returns how Behind has changed for the peer of a link since Delta was
// last called for it, sorted by id, and counts it as told. An added network
// replaces one of the same id; removed are ids, and may name one that the peer does
// not know.
// If full is set, added is everything, and replaces all that was told before: so
// it is at the first call, and when more has changed than is remembered. A link
// that has not joined has no changes. Its cost is the number of networks that have
// changed, or all if full.
func (m *Map) Delta(key LinkKey) (added []Network, removed []uint32, full bool) {
	l := m.links[key]
	if l == nil {
		return nil, nil, false
	}
	told := l.told
	l.told, l.listed = m.seq, m.seq
	if l.first || told < m.forgotten {
		l.first = false
		return m.Behind(key), nil, true
	}
	for _, records := range []*list.List{m.live, m.gone} {
		for e := records.Back(); e != nil; e = e.Prev() {
			r := e.Value.(*record)
			if r.seq <= told {
				break
			}
			exact := told >= r.wasSeq // the peer was told the state before this one
			knows := r.was.tells(key)
			switch {
			case r.tells(key):
				if !exact || !knows || r.wasInstance != r.Instance {
					added = append(added, r.Network)
				}
			case !exact || knows:
				removed = append(removed, r.ID)
			}
		}
	}
	sortByID(added)
	slices.Sort(removed)
	return added, removed, false
}

// Retell makes the peer of a link count as told nothing, for it may have lost what Delta
// has returned.
func (m *Map) Retell(key LinkKey) {
	if l := m.links[key]; l != nil {
		l.first, l.listed, m.fresh = true, 0, true
	}
}

// Links returns the links that have joined, sorted.
func (m *Map) Links() []LinkKey { return slices.Sorted(maps.Keys(m.links)) }
