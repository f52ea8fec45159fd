package topology_test

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kbus-limpet/limpet/limpet/topology"
)

// twin is a Map as a page of plain lists: slow, and easy to believe.
type twin struct {
	self  topology.Network
	links []*twinLink
}

type twinLink struct {
	key    topology.LinkKey
	peer   topology.Network
	behind []topology.Network
}

func (w *twin) find(key topology.LinkKey) *twinLink {
	for _, l := range w.links {
		if l.key == key {
			return l
		}
	}
	return nil
}

// judge gives 0 if the network is welcome by that link.
func (w *twin) judge(key topology.LinkKey, n topology.Network, direct bool) topology.Kind {
	if n.ID == 0 {
		return topology.Protocol
	}
	clash := func(known topology.Network) topology.Kind {
		if known.Instance == n.Instance {
			return topology.Loop
		}
		return topology.Clash
	}
	if n.ID == w.self.ID {
		if direct && n.Instance != w.self.Instance {
			return topology.SameNetwork
		}
		return clash(w.self)
	}
	for _, l := range w.links {
		if l.key == key {
			continue
		}
		if l.peer.ID == n.ID {
			if direct && l.peer.Instance == n.Instance {
				return topology.Duplicate
			}
			return clash(l.peer)
		}
		for _, b := range l.behind {
			if b.ID == n.ID {
				return clash(b)
			}
		}
	}
	return 0
}

func (w *twin) judgeBehind(key topology.LinkKey, peer uint32, behind []topology.Network) topology.Kind {
	for i, n := range behind {
		if k := w.judge(key, n, false); k != 0 {
			return k
		}
		if n.ID == peer || slices.ContainsFunc(behind[:i], func(b topology.Network) bool { return b.ID == n.ID }) {
			return topology.Protocol
		}
	}
	return 0
}

func (w *twin) join(key topology.LinkKey, peer topology.Network, behind []topology.Network) topology.Kind {
	if k := cmp.Or(w.judge(key, peer, true), w.judgeBehind(key, peer.ID, behind)); k != 0 {
		return k
	}
	w.leave(key)
	w.links = append(w.links, &twinLink{key, peer, slices.Clone(behind)})
	return 0
}

func (w *twin) update(key topology.LinkKey, behind []topology.Network) topology.Kind {
	l := w.find(key)
	if l == nil {
		return 0
	}
	if k := w.judgeBehind(key, l.peer.ID, behind); k != 0 {
		return k
	}
	l.behind = slices.Clone(behind)
	return 0
}

func (w *twin) amend(key topology.LinkKey, added []topology.Network, removed []uint32) topology.Kind {
	l := w.find(key)
	if l == nil {
		return 0
	}
	if k := w.judgeBehind(key, l.peer.ID, added); k != 0 {
		return k
	}
	l.behind = amended(l.behind, added, removed)
	return 0
}

func (w *twin) leave(key topology.LinkKey) {
	w.links = slices.DeleteFunc(w.links, func(l *twinLink) bool { return l.key == key })
}

func (w *twin) behind(key topology.LinkKey) []topology.Network {
	var all []topology.Network
	for _, l := range w.links {
		if l.key != key {
			all = append(append(all, l.peer), l.behind...)
		}
	}
	return sorted(all)
}

// amended is what a peer makes of a Delta.
func amended(was, added []topology.Network, removed []uint32) []topology.Network {
	is := slices.DeleteFunc(slices.Clone(was), func(n topology.Network) bool {
		return slices.Contains(removed, n.ID) || slices.ContainsFunc(added, func(a topology.Network) bool { return a.ID == n.ID })
	})
	return sorted(append(is, added...))
}

func sorted(networks []topology.Network) []topology.Network {
	slices.SortFunc(networks, func(a, b topology.Network) int { return cmp.Compare(a.ID, b.ID) })
	return networks
}

func kindOf(t *testing.T, err error) topology.Kind {
	t.Helper()
	if err == nil {
		return 0
	}
	var v *topology.Verdict
	if !errors.As(err, &v) {
		t.Fatalf("error %v is no *Verdict", err)
	}
	return v.Kind
}

// TestTwin does the same random things to a Map and to its twin. The peers of the
// Map hear of changes by Delta, some of them seldom, and must know what Behind says.
func TestTwin(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(8, seed))
		self := network(1, 99)
		m, w := topology.New(self), &twin{self: self}
		const links = 6
		ids := 4 + rng.IntN(20)
		anyNetwork := func() topology.Network {
			n := network(uint32(rng.IntN(ids+1)), byte(1+rng.IntN(3)/2))
			if n.ID == self.ID && rng.IntN(2) == 0 {
				n = self
			}
			return n
		}
		someNetworks := func() []topology.Network {
			var some []topology.Network
			for range rng.IntN(4) {
				some = append(some, anyNetwork())
			}
			return some
		}
		var heard [links][]topology.Network // by the peers, from Delta
		var before [links][]topology.Network
		told := [links]bool{}
		for step := range 400 {
			key := topology.LinkKey(rng.IntN(links))
			var got error
			var want topology.Kind
			op := rng.IntN(7)
			switch op {
			case 0, 1:
				peer, behind := anyNetwork(), someNetworks()
				got, want = m.Join(key, "x", peer, behind), w.join(key, peer, behind)
				if got == nil {
					heard[key] = nil
					told[key] = false
				}
			case 2:
				behind := someNetworks()
				got, want = m.Update(key, behind), w.update(key, behind)
			case 3:
				added := someNetworks()
				var removed []uint32
				for range rng.IntN(4) {
					removed = append(removed, uint32(rng.IntN(ids+1)))
				}
				// The peer itself cannot be removed from behind it.
				got, want = m.Amend(key, added, removed), w.amend(key, added, removed)
			case 4:
				m.Leave(key)
				w.leave(key)
			case 6:
				m.Retell(key) // its peer has lost what it was told
				heard[key], told[key] = nil, false
			case 5:
				if w.find(key) == nil {
					break
				}
				added, removed, full := m.Delta(key)
				if full == told[key] {
					t.Fatalf("seed %d step %d: full %v, told before %v", seed, step, full, told[key])
				}
				if full {
					heard[key] = nil
				}
				told[key] = true
				heard[key] = amended(heard[key], added, removed)
				if want := w.behind(key); !slices.Equal(heard[key], want) {
					t.Fatalf("seed %d step %d: the peer of %d knows %v, want %v", seed, step, key, heard[key], want)
				}
			}
			if k := kindOf(t, got); k != want {
				t.Fatalf("seed %d step %d op %d: verdict %v (%v), want %v", seed, step, op, k, got, want)
			}
			for k := range topology.LinkKey(links) {
				if got, want := m.Behind(k), w.behind(k); !slices.Equal(got, want) {
					t.Fatalf("seed %d step %d: behind %d is %v, want %v", seed, step, k, got, want)
				}
				var want []topology.Network
				if l := w.find(k); l != nil {
					want = slices.Clone(l.behind)
					slices.SortFunc(want, func(a, b topology.Network) int { return cmp.Compare(a.ID, b.ID) })
				}
				if got := m.Brings(k); !slices.Equal(got, want) {
					t.Fatalf("seed %d step %d: link %d brings %v, want %v", seed, step, k, got, want)
				}
			}
			if rng.IntN(3) > 0 {
				continue
			}
			changed := m.Changed()
			for k := range topology.LinkKey(links) {
				now := w.behind(k)
				joined := w.find(k) != nil
				if joined && !slices.Equal(now, before[k]) && !slices.Contains(changed, k) && !slices.Equal(heard[k], now) {
					t.Fatalf("seed %d step %d: link %d is to be told %v, but Changed is %v", seed, step, k, now, changed)
				}
				if !joined && slices.Contains(changed, k) {
					t.Fatalf("seed %d step %d: link %d has not joined, but Changed is %v", seed, step, k, changed)
				}
				before[k] = now
			}
		}
	}
}
