package topology

import (
	"cmp"
	"container/list"
	"encoding/hex"
	"maps"
	"slices"
)

// MaxNetworks bounds how many networks a Map holds, its own not counted.
const MaxNetworks = 4096

// An InstanceID is made at random when a process starts. It tells two daemons
// with the same network id apart.
type InstanceID [16]byte

// String returns the id in hexadecimal.
func (id InstanceID) String() string { return hex.EncodeToString(id[:]) }

// A Network is a bus that can be reached, and the daemon on it.
type Network struct {
	// ID is the network id, above 0.
	ID uint32
	// Instance is the daemon's.
	Instance InstanceID
	// Software is the daemon's version, for people; "" if it is not known. Nothing is judged
	// by it, and an instance keeps what it has told first over a link.
	Software string
}

// A LinkKey names a link of this node. The caller chooses it.
type LinkKey uint64

// A Map is what can be reached, and by which link. Its memory is bounded by
// MaxNetworks. It is not safe for concurrent use.
type Map struct {
	self  Network
	links map[LinkKey]*joined
	known map[uint32]*record // the networks in live and in gone

	live, gone *list.List // *record, the latest change last
	seq        uint64     // of the latest change
	forgotten  uint64     // of the latest change that gone no longer holds

	// The latest change, who made it, and the latest that somebody else made: the
	// peer that made a change is not told of it.
	last      LinkKey
	otherSeq  uint64
	asked     uint64 // seq, when Changed was last called
	fresh     bool   // a link has joined since
	restarted map[uint32]struct{}

	onRoute func(network uint32, link LinkKey, reached bool)
}

// joined is a link whose peer has been taken in.
type joined struct {
	Network
	name   string
	brings map[uint32]struct{} // what is reached by this link, the peer included
	told   uint64              // the seq up to which Delta has told the peer
	listed uint64              // the seq up to which Changed has listed the link
	first  bool                // the peer has been told nothing yet
}

// New returns the map of a node that has no links yet.
func New(self Network) *Map {
	return &Map{
		self:      self,
		links:     make(map[LinkKey]*joined),
		known:     make(map[uint32]*record),
		live:      list.New(),
		gone:      list.New(),
		restarted: make(map[uint32]struct{}),
	}
}

// OnRoute has f called, by the method that makes the change, when a network is reached by a
// link from now on, or no longer by any. Only one f can be set, before the first Join.
func (m *Map) OnRoute(f func(network uint32, link LinkKey, reached bool)) { m.onRoute = f }

// Join judges a peer and what lies behind it, and takes them in. name is the
// link's, for messages. A link that has joined already joins anew: what it brought
// is replaced, and its peer counts as told nothing. The error is a *Verdict, and
// nothing has changed then. behind is not kept.
func (m *Map) Join(key LinkKey, name string, peer Network, behind []Network) error {
	if err := m.judgePeer(key, peer); err != nil {
		return err
	}
	named, err := m.judgeAll(key, peer.ID, behind)
	if err != nil {
		return err
	}
	named[peer.ID] = struct{}{}
	brings := make(map[uint32]struct{})
	if old := m.links[key]; old != nil {
		brings = old.brings
	}
	if n := m.live.Len() - len(brings) + len(named); n > MaxNetworks {
		return tooMany(n)
	}
	m.links[key] = &joined{Network: peer, name: name, brings: brings, first: true}
	m.fresh = true
	m.replace(key, named, append(slices.Clip(behind), peer))
	return nil
}

// Update replaces what lies behind the peer of a link. The error is a *Verdict,
// and nothing has changed then. A link that has not joined is ignored. behind is
// not kept.
func (m *Map) Update(key LinkKey, behind []Network) error {
	l := m.links[key]
	if l == nil {
		return nil
	}
	named, err := m.judgeAll(key, l.ID, behind)
	if err != nil {
		return err
	}
	named[l.ID] = struct{}{}
	if n := m.live.Len() - len(l.brings) + len(named); n > MaxNetworks {
		return tooMany(n)
	}
	m.replace(key, named, behind)
	return nil
}

// Amend is Update by what has changed, as the peer's Delta gives it: removed are
// network ids, and those that do not lie behind the peer are ignored. A network
// that is in both is there afterwards.
func (m *Map) Amend(key LinkKey, added []Network, removed []uint32) error {
	l := m.links[key]
	if l == nil {
		return nil
	}
	named, err := m.judgeAll(key, l.ID, added)
	if err != nil {
		return err
	}
	n := m.live.Len()
	for id := range named {
		if _, ok := l.brings[id]; !ok {
			n++
		}
	}
	leaving := make(map[uint32]struct{})
	for _, id := range removed {
		_, brought := l.brings[id]
		if _, stays := named[id]; brought && !stays && id != l.ID {
			leaving[id] = struct{}{}
		}
	}
	if n -= len(leaving); n > MaxNetworks {
		return tooMany(n)
	}
	for _, id := range slices.Sorted(maps.Keys(leaving)) {
		m.remove(key, id)
	}
	for _, a := range added {
		m.put(key, a)
	}
	return nil
}

// Leave forgets a link and all that it brought. A link that has not joined is
// ignored.
func (m *Map) Leave(key LinkKey) {
	l := m.links[key]
	if l == nil {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(l.brings)) {
		m.remove(key, id)
	}
	delete(m.links, key)
}

// Behind returns what lies behind us for the peer of a link, sorted by id: all
// that can be reached, but not what that link brings, nor our own network. For a
// link that has not joined it is all.
func (m *Map) Behind(key LinkKey) []Network {
	n := m.live.Len()
	if l := m.links[key]; l != nil {
		n -= len(l.brings)
	}
	networks := make([]Network, 0, n)
	for k, l := range m.links {
		if k == key {
			continue
		}
		for id := range l.brings {
			networks = append(networks, m.known[id].Network)
		}
	}
	sortByID(networks)
	return networks
}

// Brings returns what lies behind the peer of a link, sorted by id, the peer not
// included; nothing if the link has not joined.
func (m *Map) Brings(key LinkKey) []Network {
	l := m.links[key]
	if l == nil {
		return nil
	}
	networks := make([]Network, 0, len(l.brings))
	for id := range l.brings {
		if id != l.ID {
			networks = append(networks, m.known[id].Network)
		}
	}
	sortByID(networks)
	return networks
}

// Restarted returns, and forgets, the ids of the networks where another daemon
// was seen than before, sorted: message ids from there may come again. Networks
// that have gone are remembered too, the latest MaxNetworks of them.
func (m *Map) Restarted() []uint32 {
	if len(m.restarted) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(m.restarted))
	clear(m.restarted)
	return ids
}

// judgeAll judges the networks behind a peer, and returns their ids.
func (m *Map) judgeAll(key LinkKey, peer uint32, behind []Network) (map[uint32]struct{}, error) {
	if len(behind) > MaxNetworks {
		return nil, tooMany(len(behind))
	}
	named := make(map[uint32]struct{}, len(behind)+1)
	for _, n := range behind {
		if err := m.judge(key, n); err != nil {
			return nil, err
		}
		if _, twice := named[n.ID]; twice || n.ID == peer {
			return nil, namedTwice(n)
		}
		named[n.ID] = struct{}{}
	}
	return named, nil
}

// replace makes networks what the link brings; named are their ids, and any of
// what it brings already that stays.
func (m *Map) replace(key LinkKey, named map[uint32]struct{}, networks []Network) {
	brings := m.links[key].brings
	if len(brings) > 0 {
		for _, id := range slices.Sorted(maps.Keys(brings)) {
			if _, stays := named[id]; !stays {
				m.remove(key, id)
			}
		}
	}
	for _, n := range networks {
		m.put(key, n)
	}
}

func sortByID(networks []Network) {
	slices.SortFunc(networks, func(a, b Network) int { return cmp.Compare(a.ID, b.ID) })
}

// By returns the link by which a network is reached; reached is false if it is not, and for
// our own.
func (m *Map) By(network uint32) (link LinkKey, reached bool) {
	r := m.known[network]
	if r == nil || !r.present {
		return 0, false
	}
	return r.link, true
}
