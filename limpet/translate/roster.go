package translate

import (
	"cmp"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Digest sums up a set of bindings, whatever their order. The two sides of a link
// compare digests to find out whether a bind event is missing.
type Digest struct {
	// Names is how many names are bound.
	Names uint64
	// Sum is the exclusive or, over all bindings, of the 64-bit FNV-1a hash of the
	// name's bytes followed by the binder as four bytes, least significant first.
	Sum uint64
}

// A roster is the set of bindings that one side has told the other. Both sides
// apply the same events to their roster by the same rules, so both are equal when
// nothing is missing.
type roster struct {
	byName map[string]rosterEntry
	bytes  int    // the names' lengths together
	sum    uint64 // see Digest
	turn   uint64 // counts the binds

	snapshot bool   // the whole set is being told again
	mark     uint64 // the turn at which that began
	missed   bool   // a name found no room
}

type rosterEntry struct {
	binder kbusdev.KsockID
	turn   uint64 // of its latest bind
}

func newRoster() roster { return roster{byName: make(map[string]rosterEntry)} }

func (r *roster) digest() Digest { return Digest{Names: uint64(len(r.byName)), Sum: r.sum} }

// bind notes that binder replies to name; whoever held the name before does not any more.
func (r *roster) bind(name string, binder kbusdev.KsockID) {
	was, known := r.byName[name]
	r.turn++
	r.byName[name] = rosterEntry{binder: binder, turn: r.turn}
	switch {
	case !known:
		r.bytes += len(name)
		r.sum ^= bindingHash(name, binder)
	case was.binder != binder:
		r.sum ^= bindingHash(name, was.binder) ^ bindingHash(name, binder)
	}
}

// unbind reports whether binder held the name; a late unbind of an earlier binder
// changes nothing.
func (r *roster) unbind(name string, binder kbusdev.KsockID) bool {
	if was, known := r.byName[name]; !known || was.binder != binder {
		return false
	}
	delete(r.byName, name)
	r.bytes -= len(name)
	r.sum ^= bindingHash(name, binder)
	return true
}

// holder returns who replies to name, 0 if nobody.
func (r *roster) holder(name string) kbusdev.KsockID { return r.byName[name].binder }

// room reports whether name is known, or is within the bound of most names whose
// lengths average 64 bytes.
func (r *roster) room(name string, most int) bool {
	if _, known := r.byName[name]; known {
		return true
	}
	return len(r.byName) < most && r.bytes+len(name) <= 64*most
}

// list returns the bindings whose latest bind was not after the given turn, in the
// order of these binds.
func (r *roster) list(upTo uint64) []kbusdev.BindEvent {
	var all []kbusdev.BindEvent
	for name, e := range r.byName {
		if e.turn <= upTo {
			all = append(all, kbusdev.BindEvent{Bound: true, Binder: e.binder, Name: name})
		}
	}
	slices.SortFunc(all, func(a, b kbusdev.BindEvent) int {
		return cmp.Compare(r.byName[a.Name].turn, r.byName[b.Name].turn)
	})
	return all
}

// bindingHash is FNV-1a, written out because hash/fnv needs bytes and an allocation.
func bindingHash(name string, binder kbusdev.KsockID) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * prime
	}
	for shift := 0; shift < 32; shift += 8 {
		h = (h ^ uint64(byte(binder>>shift))) * prime
	}
	return h
}

// Told calls yield for every binding that the peer has been told of and that is
// still bound, in the order it was told, until yield returns false. The peer knows
// them by the names given here, which are narrowed to our pattern. Bound is true
// in each. The machine must not be called meanwhile.
func (m *Machine) Told(yield func(kbusdev.BindEvent) bool) {
	for _, e := range m.told.list(m.told.turn) {
		if !yield(e) {
			return
		}
	}
}

// ToldDigest sums up what the peer has been told is bound here. The peer's
// HeardDigest is equal when it has processed every Forward.
func (m *Machine) ToldDigest() Digest { return m.told.digest() }

// HeardDigest sums up what the peer has told us is bound there, whether or not
// it is bound here too. whole is false when names found no room (Config.MaxHeard)
// since the latest snapshot began: the digest cannot be equal to the peer's then.
func (m *Machine) HeardDigest() (d Digest, whole bool) {
	return m.heard.digest(), !m.heard.missed
}

// PeerSnapshot begins or ends a snapshot of what is bound at the peer. Between the
// two FromPeer takes the bind events of the snapshot, and others, as always; what
// none of them has named when it ends is unbound. An end without a beginning does
// nothing; another beginning starts over.
func (m *Machine) PeerSnapshot(fx []Effect, begin bool) []Effect {
	if begin {
		m.heard.snapshot, m.heard.mark, m.heard.missed = true, m.heard.turn, false
		return fx
	}
	if !m.heard.snapshot {
		return fx
	}
	m.heard.snapshot = false
	for _, e := range m.heard.list(m.heard.mark) {
		e.Bound = false
		fx, _ = m.hear(fx, e)
	}
	return fx
}
