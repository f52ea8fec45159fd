package daemon

import (
	"sync"
	"sync/atomic"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A rulebook has the rules that hold now. All that judge take their policies from it.
// Its methods are safe for concurrent use.
type rulebook struct{ current atomic.Pointer[edition] }

// An edition is a set of rules, which keeps what it has made, and its lock.
type edition struct {
	mu  sync.Mutex
	set *rules.Set
}

// replace makes other rules hold; nil is none.
func (b *rulebook) replace(set *rules.Set) {
	if set == nil {
		b.current.Store(nil)
		return
	}
	b.current.Store(&edition{set: set})
}

// with calls f with the rules that hold now.
func (b *rulebook) with(f func(*rules.Set)) {
	e := b.current.Load()
	if e == nil {
		f(nil)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e.set)
}

// peer returns what a peer may do, and program what a program may. Without rules, when they
// may do everything, they return nil.
func (b *rulebook) peer(id rules.Identity, network uint32) (p *rules.Policy) {
	if b.current.Load() == nil {
		return nil
	}
	b.with(func(s *rules.Set) { p = s.For(id, network) })
	return p
}

func (b *rulebook) program(id rules.Identity) *rules.Policy { return b.peer(id, 0) }

// explain is admin.Service's.
func (b *rulebook) explain(id rules.Identity, network uint32, name string) (all []rules.Explained, n int) {
	b.with(func(s *rules.Set) { all, n = s.Explain(id, network, name), s.Len() })
	return all, n
}

// SetRules makes other rules hold, for all that is open too: links that may not be any more
// are ended, and peers and programs go on by the new rules. The error says which rule is
// wrong, or which of the tests does not hold; nothing has changed then.
func (d *Daemon) SetRules(all []rules.Rule, tests []rules.Test) error {
	set, err := compileRules(all, tests)
	if err != nil {
		return err
	}
	d.rules.replace(set)
	d.node.SetPolicies(d.rules.peer)
	d.programs.RulesChanged()
	return nil
}

// compileRules returns the rules if they and their tests are right.
func compileRules(all []rules.Rule, tests []rules.Test) (*rules.Set, error) {
	set, err := rules.Compile(all)
	if err != nil {
		return nil, err
	}
	return set, set.Check(tests)
}
