package translate

import (
	"slices"
	"strings"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// repliers is the table of who replies to what on our bus, made from its bind
// events. It answers for wildcards too, which the bus's own query does not, in
// time that depends only on the name asked for.
type repliers struct {
	// Bindings by stem: the whole name, or what stands before ".%" or ".*".
	exact, level, below map[string]bound
	newest, oldest      int64
	names               map[kbusdev.KsockID]int // how many each Ksock has bound
}

type bound struct {
	binder kbusdev.KsockID
	seq    int64 // a higher one was bound later
	seen   uint32
}

func newRepliers() repliers {
	return repliers{exact: map[string]bound{}, level: map[string]bound{}, below: map[string]bound{}, names: map[kbusdev.KsockID]int{}}
}

func (r *repliers) place(name string) (map[string]bound, string) {
	switch {
	case strings.HasSuffix(name, ".%"):
		return r.level, name[:len(name)-2]
	case strings.HasSuffix(name, ".*"):
		return r.below, name[:len(name)-2]
	default:
		return r.exact, name
	}
}

// bind notes a binding. One that a snapshot tells of is older than all before it.
// displaced is who held the name until now, if it was another Ksock: its unbind was missed.
func (r *repliers) bind(name string, binder kbusdev.KsockID, old bool, seen uint32) (displaced kbusdev.KsockID) {
	m, stem := r.place(name)
	was, ok := m[stem]
	if ok && was.binder == binder {
		was.seen = seen
		m[stem] = was
		return 0
	}
	if ok {
		displaced = was.binder
		r.lost(displaced)
	}
	r.names[binder]++
	b := bound{binder: binder, seen: seen}
	if old {
		r.oldest--
		b.seq = r.oldest
	} else {
		r.newest++
		b.seq = r.newest
	}
	m[stem] = b
	return displaced
}

func (r *repliers) unbind(name string, binder kbusdev.KsockID) {
	m, stem := r.place(name)
	if was, ok := m[stem]; ok && was.binder == binder {
		delete(m, stem)
		r.lost(binder)
	}
}

// lost counts that a Ksock has one name less.
func (r *repliers) lost(k kbusdev.KsockID) {
	if r.names[k]--; r.names[k] == 0 {
		delete(r.names, k)
	}
}

// bindsAny reports whether a Ksock replies to any name.
func (r *repliers) bindsAny(k kbusdev.KsockID) bool { return r.names[k] > 0 }

// holder returns who has bound exactly this name, 0 if nobody.
func (r *repliers) holder(name string) kbusdev.KsockID {
	m, stem := r.place(name)
	return m[stem].binder
}

func (r *repliers) len() int { return len(r.exact) + len(r.level) + len(r.below) }

// lookup returns who replies to a message of this name, 0 if nobody.
func (r *repliers) lookup(name string) kbusdev.KsockID {
	if b, ok := r.exact[name]; ok {
		return b.binder
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return 0
	}
	if b, ok := r.level[name[:dot]]; ok {
		return b.binder
	}
	var best bound
	if len(r.below) == 0 {
		return 0
	}
	for ; dot > 0; dot = strings.LastIndexByte(name[:dot], '.') {
		if b, ok := r.below[name[:dot]]; ok && (best.binder == 0 || b.seq > best.seq) {
			best = b
		}
	}
	return best.binder
}

// unseen returns the bindings that a snapshot did not mention, sorted by name.
func (r *repliers) unseen(seen uint32) []kbusdev.BindEvent {
	var gone []kbusdev.BindEvent
	for suffix, m := range map[string]map[string]bound{"": r.exact, ".%": r.level, ".*": r.below} {
		for stem, b := range m {
			if b.seen != seen {
				gone = append(gone, kbusdev.BindEvent{Binder: b.binder, Name: stem + suffix})
			}
		}
	}
	slices.SortFunc(gone, func(a, b kbusdev.BindEvent) int { return strings.Compare(a.Name, b.Name) })
	return gone
}
