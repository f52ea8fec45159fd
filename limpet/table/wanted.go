package table

import (
	"maps"
	"slices"
)

// A Wanted is what one link's peer wants to hear, as it has said in one message after
// the other.
type Wanted struct {
	of     *Interest
	source Source
	names  map[string]struct{}
	next   map[string]struct{} // while the peer tells everything anew
}

// everything is the name that matches all others.
const everything = "$.*"

// Begin returns what is noted from now on of a link's peer, of which Interest must know
// nothing. A peer that tells what it wants counts as wanting nothing until it does, one
// that does not tell as wanting everything. Interest.Drop ends that.
func (i *Interest) Begin(link Source, tells bool) (*Wanted, []Change) {
	w := &Wanted{of: i, source: link, names: make(map[string]struct{})}
	if tells {
		return w, nil
	}
	return w, w.Take(false, []string{everything}, nil, false)
}

// TakeEverything notes that the peer wants everything, whatever it has told, until it tells
// anew. It returns the changes as Take does, and whether that is news.
func (w *Wanted) TakeEverything() (changes []Change, news bool) {
	if _, all := w.names[everything]; all && len(w.names) == 1 && w.next == nil {
		return nil, false
	}
	return w.Take(true, []string{everything}, nil, true), true
}

// Take notes what the peer says: with restart, that it tells everything anew; the names
// that it wants, then those that it no longer wants; with whole, that everything has been
// told. What it wants before and after a restart is never unwanted in between. It returns
// the changes for the other links' peers.
func (w *Wanted) Take(restart bool, wanted, unwanted []string, whole bool) (changes []Change) {
	if restart {
		w.next = make(map[string]struct{})
	}
	for _, name := range wanted {
		if w.next != nil {
			w.next[name] = struct{}{}
		} else if _, known := w.names[name]; !known {
			w.names[name] = struct{}{}
			changes = w.change(changes, name, true)
		}
	}
	for _, name := range unwanted {
		if w.next != nil {
			delete(w.next, name)
		} else if _, known := w.names[name]; known {
			delete(w.names, name)
			changes = w.change(changes, name, false)
		}
	}
	if whole && w.next != nil {
		changes = w.replace(changes)
	}
	return changes
}

// replace makes hold what has been told anew.
func (w *Wanted) replace(changes []Change) []Change {
	for _, name := range slices.Sorted(maps.Keys(w.next)) {
		if _, known := w.names[name]; !known {
			changes = w.change(changes, name, true)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.names)) {
		if _, still := w.next[name]; !still {
			changes = w.change(changes, name, false)
		}
	}
	w.names, w.next = w.next, nil
	return changes
}

// change appends what changes for the others when the peer wants a name, or no longer.
func (w *Wanted) change(changes []Change, name string, more bool) []Change {
	do := w.of.Remove
	if more {
		do = w.of.Add
	}
	if c, changed := do(w.source, name); changed {
		changes = append(changes, c)
	}
	return changes
}
