package rules

import (
	"fmt"
	"strings"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Bounds of a configuration.
const (
	// MaxRules is how many rules there may be.
	MaxRules = 10_000
	// MaxNames is how many names a rule may have, also how many whos and networks.
	MaxNames = 10_000
)

// A Rule is one as it stands in a configuration.
type Rule struct {
	// Allow or Deny are actions, or "all"; one of the two is set. In a rule with Names "all"
	// is what is done with names, and Join if it has Networks too.
	Allow, Deny []string
	// Who are those whom it is for; none is anybody.
	Who []string
	// Names are the names that it is about, perhaps wildcards; none is all.
	Names []string
	// Networks are the network ids, or ranges of them, that it is about when somebody
	// joins; none is all.
	Networks []string
}

// A rule is one that has been compiled.
type rule struct {
	allow    bool
	actions  actions
	who      []who
	names    []string
	networks []span
}

// Compile returns the set of the rules, nil if there are none. The error names the
// rule, counted from 1, the field, the value and the way out.
func Compile(all []Rule) (*Set, error) {
	return CompileLink(nil, all)
}

// CompileLink returns the set of a link's own rules, and after them those for everybody: what
// no rule of its own matches is judged by those. Without either it is nil. The error is as
// that of Compile, and of one list: the link's own, unless those are right.
func CompileLink(own, all []Rule) (*Set, error) {
	if len(own)+len(all) == 0 {
		return nil, nil //nolint:nilnil // no rules are a good configuration
	}
	s := newSet()
	s.ofLink = len(own)
	for _, list := range [][]Rule{own, all} {
		if len(list) > MaxRules {
			return nil, fmt.Errorf("rules: there are %d, at most %d are allowed; one rule can have many names", len(list), MaxRules)
		}
		for i := range list {
			r, err := compile(&list[i])
			if err != nil {
				return nil, fmt.Errorf("rule %d: %w", i+1, err)
			}
			s.rules = append(s.rules, r)
		}
	}
	return s, nil
}

// all returns what "all" means in the rule. Somebody who may do everything with some names
// need not be an administrator.
func (r *Rule) all() actions {
	switch {
	case len(r.Names) == 0:
		return allActions
	case len(r.Networks) == 0:
		return nameActions
	default:
		return nameActions | 1<<Join
	}
}

func compile(in *Rule) (out rule, err error) {
	words, field := in.Allow, "allow"
	switch {
	case len(in.Allow) > 0 && len(in.Deny) > 0:
		return out, fmt.Errorf("it has both allow (%s) and deny (%s); make two rules of it", clip(strings.Join(in.Allow, ", ")), clip(strings.Join(in.Deny, ", ")))
	case len(in.Allow) > 0:
		out.allow = true
	case len(in.Deny) > 0:
		words, field = in.Deny, "deny"
	default:
		return out, fmt.Errorf("it has neither allow nor deny; give it one of them, with actions: %s, or all", strings.Join(actionNames[:], ", "))
	}
	if out.actions, err = parseActions(words, in.all()); err != nil {
		return out, fmt.Errorf("%s: %w", field, err)
	}
	for _, x := range []struct {
		field string
		n     int
	}{{"who", len(in.Who)}, {"names", len(in.Names)}, {"networks", len(in.Networks)}} {
		if x.n > MaxNames {
			return out, fmt.Errorf("%s: there are %d, at most %d are allowed; make more rules of it", x.field, x.n, MaxNames)
		}
	}
	if len(in.Names) > 0 && out.actions&nameActions == 0 {
		return out, fmt.Errorf("names: %q has nothing to do with %s, which is done without names; leave names out", clip(in.Names[0]), out.actions)
	}
	if len(in.Networks) > 0 && !out.actions.has(Join) {
		return out, fmt.Errorf("networks: %q only counts when somebody joins, not for %s; leave networks out, or who: network:ID is for what one peer does", clip(in.Networks[0]), out.actions)
	}
	for _, word := range in.Who {
		w, err := parseWho(word)
		if err != nil {
			return out, fmt.Errorf("who: %w", err)
		}
		out.who = append(out.who, w)
	}
	for _, name := range in.Names {
		if err := kbusdev.CheckBindName(name); err != nil {
			return out, fmt.Errorf("names: %q: %w; it is \"$\" and words of letters and digits joined by dots, the last of which may be * (everything below) or %% (one level)", clip(name), err)
		}
		out.names = append(out.names, name)
	}
	for _, word := range in.Networks {
		n, err := parseSpan(word)
		if err != nil {
			return out, fmt.Errorf("networks: %w", err)
		}
		out.networks = append(out.networks, n)
	}
	if len(out.who) == 0 {
		out.who = []who{{kind: anybody}}
	}
	if len(out.names) == 0 {
		out.names = []string{"$.*"}
	}
	if len(out.networks) == 0 {
		out.networks = []span{allNetworks}
	}
	return out, nil
}

// String returns the rule on one line.
func (r *rule) String() string {
	var b strings.Builder
	b.WriteString("deny: [")
	if r.allow {
		b.Reset()
		b.WriteString("allow: [")
	}
	b.WriteString(r.actions.String() + "]")
	list := func(field string, words []string) {
		const most = 5
		if n := len(words); n > most {
			words = append(words[:most:most], fmt.Sprintf("and %d more", n-most))
		}
		b.WriteString(", " + field + ": [" + strings.Join(words, ", ") + "]")
	}
	list("who", each(r.who, who.String))
	if r.actions&nameActions != 0 {
		list("names", r.names)
	}
	if r.actions.has(Join) {
		list("networks", each(r.networks, span.String))
	}
	return b.String()
}

func each[A any](all []A, f func(A) string) []string {
	out := make([]string, len(all))
	for i, a := range all {
		out[i] = f(a)
	}
	return out
}
