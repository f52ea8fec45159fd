package sim

import (
	"github.com/kbus-limpet/limpet/limpet/rename"
)

// makeRenames gives some links renames, at one of their ends, or both. Some of them leave
// names without one at the other end.
func (w *World) makeRenames() {
	for _, x := range w.wires {
		for _, p := range x.ends {
			if w.chance(3) {
				continue
			}
			p.renames = w.randomRenames()
			w.tracef("%v renames %s", p, p.renames)
		}
	}
}

func (w *World) randomRenames() *rename.Map {
	prefixes := []string{"$.R1", "$.R2", "$.R3", "$.Shared", "$.Shared.n0", "$.News.n1", "$.News.n2", "$.Far.R1", "$.Far.Shared", "$.Else.n1", "$.Else"}
	for {
		var all []rename.Rename
		for range 1 + w.rng.IntN(3) {
			all = append(all, rename.Rename{Here: prefixes[w.rng.IntN(len(prefixes))], There: prefixes[w.rng.IntN(len(prefixes))]})
		}
		if m, err := rename.Compile(all); err == nil {
			return m
		}
	}
}

// A place is a bus, and the name that something has there.
type place struct {
	n    *node
	name string
}

// spread returns where something gets to from a bus, over links that let it pass: from is
// the near end of each, here and there are its names at the two ends.
func (w *World) spread(from *node, name string, passes func(from *peering, here, there string) bool) []place {
	all := []place{{from, name}}
	seen := map[*node]bool{from: true}
	for i := 0; i < len(all); i++ { // all grows
		at := all[i]
		for _, p := range at.n.peerings {
			to := p.other()
			if seen[to.n] {
				continue
			}
			wire, no := p.renames.There(at.name)
			if no != 0 {
				continue
			}
			there, no := to.renames.Here(wire)
			if no != 0 || !passes(p, at.name, there) {
				continue
			}
			seen[to.n] = true
			all = append(all, place{to.n, there})
		}
	}
	return all
}

// named returns the name that something on one bus has on another; "" if it has none.
func (w *World) named(from *node, name string, to *node) string {
	for _, at := range w.spread(from, name, func(*peering, string, string) bool { return true }) {
		if at.n == to {
			return at.name
		}
	}
	return ""
}
