package limpet

import (
	"maps"
	"slices"

	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rename"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A cut makes of the names that the peer wants to hear those that it may, as they are called
// here. Several of its names can come to the same one, which is wanted until the last of them
// is not. Without a policy and renames it does nothing, and keeps nothing.
type cut struct {
	policy  *rules.Policy
	renames *rename.Map
	asked   map[string]struct{} // what the peer has said
	bytes   int                 // of that
	wanted  map[string]uint32   // what it comes to, and how often
}

func newCut(p *rules.Policy, m *rename.Map) cut {
	return cut{policy: p, renames: m, asked: make(map[string]struct{}), wanted: make(map[string]uint32)}
}

// idle reports whether every name stays as it is.
func (c *cut) idle() bool { return c.policy == nil && c.renames == nil }

// take replaces the names in f. It reports whether the peer has asked for most names at
// most, of 64 bytes on average; if not, it is not to be asked again until a restart.
func (c *cut) take(f *link.Interest, most int) bool {
	if c.idle() {
		return true
	}
	if f.Restart {
		*c = newCut(c.policy, c.renames)
	}
	var wanted, unwanted []string
	for _, name := range f.Wanted {
		if _, known := c.asked[name]; !known {
			c.asked[name] = struct{}{}
			if c.bytes += len(name); len(c.asked) > most || c.bytes > 64*most {
				return false
			}
			wanted = c.add(wanted, name)
		}
	}
	for _, name := range f.Unwanted {
		if _, known := c.asked[name]; known {
			delete(c.asked, name)
			c.bytes -= len(name)
			unwanted = c.remove(unwanted, name)
		}
	}
	f.Wanted, f.Unwanted = wanted, unwanted
	return true
}

// add appends what is wanted now that was not before.
func (c *cut) add(dst []string, name string) []string {
	for _, part := range c.parts(name) {
		if c.wanted[part]++; c.wanted[part] == 1 {
			dst = append(dst, part)
		}
	}
	return dst
}

// remove appends what is no longer wanted.
func (c *cut) remove(dst []string, name string) []string {
	for _, part := range c.parts(name) {
		if c.wanted[part]--; c.wanted[part] == 0 {
			delete(c.wanted, part)
			dst = append(dst, part)
		}
	}
	return dst
}

// parts returns what a name that the peer wants comes to.
func (c *cut) parts(name string) (parts []string) {
	for _, here := range c.renames.BindHere(nil, name) {
		parts = c.policy.Cut(parts, rules.Listen, here)
	}
	return parts
}

// setPolicy changes what the peer may hear, and returns how what is wanted changes, nil if
// it does not.
func (c *cut) setPolicy(p *rules.Policy) *link.Interest {
	was := c.wanted
	c.policy, c.wanted = p, make(map[string]uint32)
	f := new(link.Interest)
	for name := range c.asked {
		c.add(nil, name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.wanted)) {
		if was[name] == 0 {
			f.Wanted = append(f.Wanted, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if c.wanted[name] == 0 {
			f.Unwanted = append(f.Unwanted, name)
		}
	}
	if len(f.Wanted)+len(f.Unwanted) == 0 {
		return nil
	}
	return f
}

// setRules changes what the peer may hear, and returns how what is wanted changes, nil if
// it does not.
func (w *interest) setRules(p *rules.Policy) *link.Interest {
	if w.crowded { // it has told nothing that counts
		w.cut = newCut(p, w.cut.renames)
		return nil
	}
	if w.cut.idle() { // it has kept nothing
		for _, name := range w.names.For(0) {
			w.cut.asked[name] = struct{}{}
			w.cut.bytes += len(name)
			w.cut.wanted[name] = 1
		}
	}
	f := w.cut.setPolicy(p)
	if w.cut.idle() {
		w.cut = newCut(nil, nil)
	}
	if f != nil {
		w.change(f)
	}
	return f
}
