package membus

import "sort"

// ages lists the bindings of a bus by age, so that a list of them can go on at a given
// place. What is removed leaves a gap until there are too many gaps.
type ages struct {
	entries []aged // oldest first
	gaps    int
}

type aged struct {
	seq uint64
	*binding
}

func (a *ages) add(b *binding) {
	b.place = len(a.entries)
	a.entries = append(a.entries, aged{b.seq, b})
}

func (a *ages) remove(b *binding) {
	a.entries[b.place].binding = nil
	a.gaps++
	last := len(a.entries)
	for last > 0 && a.entries[last-1].binding == nil {
		last--
		a.gaps--
	}
	a.entries = a.entries[:last]
	if a.gaps <= last/2 {
		return
	}
	kept := make([]aged, 0, last-a.gaps)
	for _, e := range a.entries {
		if e.binding != nil {
			e.place = len(kept)
			kept = append(kept, e)
		}
	}
	*a = ages{entries: kept}
}

// at returns the place of the oldest binding that is at least as new as seq.
func (a *ages) at(seq uint64) int {
	return sort.Search(len(a.entries), func(i int) bool { return a.entries[i].seq >= seq })
}
