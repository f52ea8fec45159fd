package table

import (
	"maps"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Source is where a message may be wanted: the local bus or a link. The caller
// numbers them.
type Source uint32

// Interest is which names are wanted where. A source wants a name as often as it
// was added and not removed, since a Ksock may bind a name twice. The peer of a link
// is told the names that any source but the link itself wants; Add, Remove and Drop
// return what changes for whom.
//
// A name that a wider wanted wildcard covers is told like any other.
type Interest struct {
	names     map[string]*want
	wildcards wildcards[want]
	bySource  map[Source]map[string]uint32 // how often
}

// want is a name that at least one source wants.
type want struct {
	sources int
	xor     Source // of all of them: the source, if it is the only one
}

// other reports whether a source that is not s wants the name.
func (w *want) other(s Source) bool { return w.sources > 1 || w.xor != s }

// A Change says that the peers of some links are to be told that a name is wanted
// now, or no longer.
type Change struct {
	// Name is the name, perhaps a wildcard.
	Name string
	// Wanted is false if it is wanted no longer.
	Wanted bool
	// AllBut is true if the change concerns all links but Link, false if Link alone.
	AllBut bool
	// Link is the link excepted, or the only one. If that is the local bus, which has
	// no peer, nobody is excepted, or nobody to be told.
	Link Source
}

// Concerns reports whether the peer of a link is to be told.
func (c Change) Concerns(link Source) bool { return (c.Link == link) != c.AllBut }

// NewInterest returns an Interest in nothing.
func NewInterest() *Interest {
	return &Interest{names: make(map[string]*want), bySource: make(map[Source]map[string]uint32)}
}

// Add notes that a source wants a name once more. If that changes what peers are
// to be told, changed is true.
func (i *Interest) Add(source Source, name string) (c Change, changed bool) {
	counts := i.bySource[source]
	if counts == nil {
		counts = make(map[string]uint32)
		i.bySource[source] = counts
	}
	if counts[name]++; counts[name] > 1 {
		return Change{}, false
	}
	w := i.names[name]
	if w == nil {
		w = new(want)
		i.names[name] = w
		if kbusdev.IsWildcard(name) {
			i.wildcards.set(name, w)
		}
	}
	c, changed = w.edge(name, true, source)
	w.sources++
	w.xor ^= source
	return c, changed
}

// Remove undoes one Add of the same source and name; if there is none it does
// nothing.
func (i *Interest) Remove(source Source, name string) (c Change, changed bool) {
	counts := i.bySource[source]
	switch counts[name] {
	case 0:
		return Change{}, false
	case 1:
		return i.forget(source, name)
	}
	counts[name]--
	return Change{}, false
}

// Drop undoes every Add of a source. The changes are sorted by name. Its cost is
// the number of names that the source wants.
func (i *Interest) Drop(source Source) []Change {
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(i.bySource[source])) {
		if c, changed := i.forget(source, name); changed {
			changes = append(changes, c)
		}
	}
	return changes
}

// forget notes that a source does not want a name any more.
func (i *Interest) forget(source Source, name string) (Change, bool) {
	delete(i.bySource[source], name)
	if len(i.bySource[source]) == 0 {
		delete(i.bySource, source)
	}
	w := i.names[name]
	w.sources--
	w.xor ^= source
	if w.sources == 0 {
		delete(i.names, name)
		if kbusdev.IsWildcard(name) {
			i.wildcards.set(name, nil)
		}
	}
	return w.edge(name, false, source)
}

// edge is the change as a source comes or goes beside those in w.
func (w *want) edge(name string, wanted bool, source Source) (Change, bool) {
	switch w.sources {
	case 0: // nobody else: all links but the source's own
		return Change{Name: name, Wanted: wanted, AllBut: true, Link: source}, true
	case 1: // the other's link was told by all but itself, so by nobody
		return Change{Name: name, Wanted: wanted, Link: w.xor}, true
	default:
		return Change{}, false
	}
}

// Wants reports whether a source that is not except wants messages of this name.
// Its cost is the length of the name.
func (i *Interest) Wants(except Source, name string) bool {
	if w := i.names[name]; w != nil && w.other(except) {
		return true
	}
	wanted := false
	i.wildcards.match(name, func(w *want, _ bool) bool {
		wanted = w.other(except)
		return !wanted
	})
	return wanted
}

// For returns, sorted, the names that the peer of a link is to be told: those that
// a source other than the link wants. Its cost is the number of all names.
func (i *Interest) For(link Source) []string {
	var names []string
	for name, w := range i.names {
		if w.other(link) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Len returns how many names a source wants.
func (i *Interest) Len(source Source) int { return len(i.bySource[source]) }
