package limpet

import (
	"maps"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Listen is a change of what our Ksock listens to on the bus.
type Listen struct {
	// Name is a binding name.
	Name string
	// Bound is true if the Ksock is to be bound to it as listener, false if it is to stop
	// listening to it, but to keep what is queued.
	Bound bool
}

// A hearing is what our Ksock listens to: what the peer wants, within the pattern, and
// the whole pattern until the peer has told that. So what nobody there wants is never
// queued for us, however many peers a bus has. It needs a bus whose Ksocks can stop
// listening to a name without losing what is queued; on others the Ksock listens to the
// whole pattern.
type hearing struct {
	on      bool
	pattern string
	always  []string // what is heard whatever the peer wants

	whole  bool              // the Ksock is bound to the pattern, because the peer may want anything
	bound  map[string]uint32 // what is heard, and how many of the names that the peer wants it stands for
	before map[string]uint32 // while whole: what the Ksock is bound to besides the pattern

	changes []Listen // to be made
	making  bool     // some are being made
}

// newHearing returns the hearing of a Ksock that is bound to the pattern, and to what is
// always heard if the pattern does not cover it.
func newHearing(on bool, cfg *Config) hearing {
	h := hearing{on: on, pattern: cfg.Pattern, whole: true, before: make(map[string]uint32), always: []string{kbusdev.NameReplierBindEvent}}
	if !kbusdev.Covers(h.pattern, kbusdev.NameReplierBindEvent) {
		h.before[kbusdev.NameReplierBindEvent] = 1
	}
	if cfg.Termination != "" && kbusdev.Covers(h.pattern, cfg.Termination) {
		h.always = append(h.always, cfg.Termination)
	}
	h.begin()
	return h
}

func (h *hearing) begin() {
	h.bound = make(map[string]uint32)
	for _, name := range h.always {
		h.bound[name]++
	}
}

// restart notes that the peer tells anew what it wants, and may want anything.
func (h *hearing) restart() {
	if !h.on {
		return
	}
	if !h.whole {
		h.whole, h.before = true, h.bound
		h.change(h.pattern, true)
	}
	h.begin()
}

// want notes that the peer wants one more name, or one less.
func (h *hearing) want(name string, more bool) {
	if !h.on {
		return
	}
	name, ok := kbusdev.Narrower(h.pattern, name)
	if !ok {
		return
	}
	n := h.bound[name]
	if more {
		n++
	} else {
		n--
	}
	if n > 0 {
		h.bound[name] = n
	} else {
		delete(h.bound, name)
	}
	if !h.whole && (n == 0 || more && n == 1) {
		h.change(name, more)
	}
}

// narrow notes that the peer has told all that it wants.
func (h *hearing) narrow() {
	if !h.on || !h.whole {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(h.bound)) {
		if h.before[name] == 0 {
			h.change(name, true)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.before)) {
		if h.bound[name] == 0 {
			h.change(name, false)
		}
	}
	h.change(h.pattern, false)
	h.whole, h.before = false, nil
}

func (h *hearing) change(name string, bound bool) {
	h.changes = append(h.changes, Listen{Name: name, Bound: bound})
}

// take returns the changes that are to be made now.
func (h *hearing) take() []Listen {
	changes := h.changes
	h.changes, h.making = nil, len(changes) > 0
	return changes
}

// settled reports whether all changes have been made.
func (h *hearing) settled() bool { return len(h.changes) == 0 && !h.making }
