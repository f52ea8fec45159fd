package daemon

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/kbus-limpet/limpet/kbusdev/kbusfs"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A rulebook has the rules that hold now. All that judge take their policies from it.
// Its methods are safe for concurrent use.
type rulebook struct{ current atomic.Pointer[editions] }

// Editions are the rules for everybody, and for links that have rules of their own the sets
// of these and those, by their titles.
type editions struct {
	all   *edition
	links map[string]*edition
}

// An edition is a set of rules, which keeps what it has made, and its lock. The set may be
// nil.
type edition struct {
	mu  sync.Mutex
	set *rules.Set
}

// replace makes other rules hold.
func (b *rulebook) replace(e *editions) {
	if e.all.set == nil && len(e.links) == 0 {
		e = nil
	}
	b.current.Store(e)
}

// of returns the rules for those who come by a link, "" for programs; nil if there are none.
func (b *rulebook) of(link string) *edition {
	all := b.current.Load()
	if all == nil {
		return nil
	}
	if e := all.links[link]; e != nil {
		return e
	}
	return all.all
}

// peer returns what a peer may do, and program what a program may. Without rules, when they
// may do everything, they return nil.
func (b *rulebook) peer(link string, id rules.Identity, network uint32) *rules.Policy {
	e := b.of(link)
	if e == nil || e.set == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.set.For(id, network)
}

func (b *rulebook) program(id rules.Identity) *rules.Policy { return b.peer("", id, 0) }

// device returns who judges a program that opens an exposed device; nil if it may do
// everything.
func (b *rulebook) device(p kbusfs.Program) membus.Judge {
	process := rules.Process(p)
	if policy := b.program(rules.Identity{Process: &process}); !policy.Unlimited() {
		return policy
	}
	return nil
}

// denied returns what the rules have refused programs so far, of the local API and of devices.
func (d *Daemon) denied() uint64 {
	n := d.programs.Denied()
	if d.devices != nil {
		n += d.devices.Denied()
	}
	return n
}

// explain returns what the rules make of somebody, and how many there are.
func (b *rulebook) explain(link string, id rules.Identity, network uint32, name string) ([]rules.Explained, int) {
	e := b.of(link)
	if e == nil {
		e = new(edition)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.set.Explain(id, network, name), e.set.Len()
}

// verdicts returns what explain does, but for how many rules there are and what they say.
func (b *rulebook) verdicts(link string, id rules.Identity, network uint32, name string) []rules.Explained {
	e := b.of(link)
	if e == nil {
		e = new(edition)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.set.Verdicts(id, network, name)
}

// explain is admin.Service's. A link is called by its name, or its title.
func (d *Daemon) explain(link string, id rules.Identity, network uint32, name string) ([]rules.Explained, int, error) {
	if link != "" {
		l := d.linked.named(link)
		if l == nil {
			return nil, 0, fmt.Errorf("no link %q is configured; it is the name of a link that is dialled, or such as \"listen :7000\"", link)
		}
		link = l.cfg.Load().Title()
	}
	all, n := d.rules.explain(link, id, network, name)
	return all, n, nil
}

// SetRules makes other rules hold, for all that is open too: links that may not be any more
// are ended, and peers and programs go on by the new rules. The error says which rule is
// wrong, or which of the tests does not hold; nothing has changed then. The links' own rules
// stay.
func (d *Daemon) SetRules(all []rules.Rule, tests []rules.Test) error {
	return d.setRules(all, tests, d.cfg.Links)
}

// setRules is SetRules, with other rules of links too.
func (d *Daemon) setRules(all []rules.Rule, tests []rules.Test, links []LinkConfig) error {
	set, err := compileRules(all, tests)
	if err != nil {
		return err
	}
	e := &editions{all: &edition{set: set}, links: make(map[string]*edition)}
	for i := range links {
		l := &links[i]
		if len(l.Rules) == 0 {
			continue
		}
		set, err := rules.CompileLink(l.Rules, all)
		if err != nil {
			return fmt.Errorf("%s: %w", l.Title(), err)
		}
		e.links[l.Title()] = &edition{set: set}
	}
	d.rules.replace(e)
	d.node.SetPolicies(d.rules.peer)
	d.programs.RulesChanged()
	if d.devices != nil {
		d.devices.RulesChanged()
	}
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
