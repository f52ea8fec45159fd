package translate

import (
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
}

type bound struct {
	binder kbusdev.KsockID
	seq    int64 // a higher one was bound later
	seen   uint32
}

func newRepliers() repliers {
	return repliers{exact: map[string]bound{}, level: map[string]bound{}, below: map[string]bound{}}
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
func (r *repliers) bind(name string, binder kbusdev.KsockID, old bool, seen uint32) {
	m, stem := r.place(name)
	if was, ok := m[stem]; ok && was.binder == binder {
		was.seen = seen
		m[stem] = was
		return
	}
	b := bound{binder: binder, seen: seen}
	if old {
		r.oldest--
		b.seq = r.oldest
	} else {
		r.newest++
		b.seq = r.newest
	}
	m[stem] = b
}

func (r *repliers) unbind(name string, binder kbusdev.KsockID) {
	m, stem := r.place(name)
	if m[stem].binder == binder {
		delete(m, stem)
	}
}

// lookup gives who replies to a message of this name, 0 if nobody.
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

// unseen calls f for every binding that a snapshot did not mention.
func (r *repliers) unseen(seen uint32, f func(name string, binder kbusdev.KsockID)) {
	for suffix, m := range map[string]map[string]bound{"": r.exact, ".%": r.level, ".*": r.below} {
		for stem, b := range m {
			if b.seen != seen {
				f(stem+suffix, b.binder)
			}
		}
	}
}
