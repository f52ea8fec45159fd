package rules

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Verdict is what the rules say of an action.
type Verdict struct {
	// Allow reports whether it is allowed.
	Allow bool
	// Rule is the number of the rule that decides, counted from 1; 0 if none matches, so
	// that it is denied, and if there are no rules.
	Rule int
	// OfLink reports that it is one of the link's own rules, which are counted by themselves.
	OfLink bool
}

// general is added to the number of a rule that is not a link's own: those come first.
const general = 1 << 20

func (e entry) verdict() Verdict {
	n := e.rule()
	if n > general {
		return Verdict{Allow: e > 0, Rule: n - general}
	}
	return Verdict{Allow: e > 0, Rule: n, OfLink: n > 0}
}

// A Set is the rules of a configuration. A nil one has no rules. It is not safe for
// concurrent use: For keeps what it has made.
type Set struct {
	rules  []rule
	ofLink int // so many of them, the first, are a link's own

	// Policies by the rules that match, and by identity. Both are forgotten when they
	// are full.
	made map[string]*Policy
	of   map[string]*Policy
}

// Bounds of what a Set keeps.
const (
	maxMade = 256
	maxOf   = 4096
)

func newSet() *Set { return &Set{made: make(map[string]*Policy), of: make(map[string]*Policy)} }

// Len returns the number of rules, those of a link among them.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.rules)
}

// For returns the policy of somebody; network is that of a peer, 0 for a program. It is
// nil without rules. Somebody whom the same rules match gets the same one.
func (s *Set) For(id Identity, network uint32) *Policy {
	if s == nil {
		return nil
	}
	key := identityKey(&id, network)
	if p := s.of[key]; p != nil {
		return p
	}
	var matching []int
	var signature []byte
	for i := range s.rules {
		if slices.ContainsFunc(s.rules[i].who, func(w who) bool { return w.matches(&id, network) }) {
			matching = append(matching, i)
			signature = binary.AppendUvarint(signature, uint64(i))
		}
	}
	p := s.made[string(signature)]
	if p == nil {
		p = s.policy(matching)
		if len(s.made) >= maxMade {
			clear(s.made)
		}
		s.made[string(signature)] = p
	}
	if len(s.of) >= maxOf {
		clear(s.of)
	}
	s.of[key] = p
	return p
}

// identityKey is the same for all that no rule can tell apart.
func identityKey(id *Identity, network uint32) string {
	b := binary.AppendUvarint(nil, uint64(network))
	b = binary.AppendUvarint(b, uint64(len(id.Names)))
	for _, name := range id.Names {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
	}
	if p := id.Process; p != nil {
		b = binary.AppendUvarint(b, uint64(p.UID))
		b = binary.AppendUvarint(b, uint64(p.GID))
		for _, g := range p.Groups {
			b = binary.AppendUvarint(b, uint64(g))
		}
	}
	return string(b)
}

func (s *Set) policy(matching []int) *Policy {
	p := &Policy{of: s}
	for _, i := range matching {
		r := &s.rules[i]
		p.rules = append(p.rules, r)
		e := entry(i + 1)
		if i >= s.ofLink {
			e = general + entry(i-s.ofLink+1)
		}
		if !r.allow {
			e = -e
		}
		for a := range withNames {
			if r.actions.has(a) {
				for _, name := range r.names {
					p.names.add(a, name, e)
				}
			}
		}
		if r.actions.has(Admin) {
			p.admin = first(p.admin, e)
		}
		if r.actions.has(Join) {
			p.join = append(p.join, joinRule{e, r.networks})
		}
	}
	return p
}

// A Policy is what the rules amount to for one identity. A nil one allows everything. It
// does not change, so many goroutines may use it.
type Policy struct {
	of    *Set    // only its rules, which do not change, are looked at
	rules []*rule // that match the identity
	names tree
	admin entry
	join  []joinRule
}

type joinRule struct {
	entry    entry
	networks []span
}

// May reports whether somebody may do something with the messages of a name. What cannot
// be a name is denied, or the bus refuses it. The action is one with names. Its cost is
// the length of the name.
func (p *Policy) May(a Action, name string) bool { return p == nil || p.may(a, name) }

func (p *Policy) may(a Action, name string) bool { return p.message(a, name) > 0 }

func (p *Policy) message(a Action, name string) entry {
	if len(name) < kbusdev.MinNameLen || name[:2] != "$." {
		return 0
	}
	return p.names.message(a, name)
}

// Judge is May, and tells the rule that decides.
func (p *Policy) Judge(a Action, name string) Verdict {
	if p == nil {
		return Verdict{Allow: true}
	}
	return p.message(a, name).verdict()
}

// Why returns the rule of a verdict of p on one line, or in words that none decides.
func (p *Policy) Why(v Verdict) string {
	var of *Set
	if p != nil {
		of = p.of
	}
	return of.why(v)
}

// All judges an action with every name that a binding name matches: all of it must be
// allowed. name is valid, and may be one of a message. The action is one with names.
func (p *Policy) All(a Action, name string) Verdict {
	if p == nil {
		return Verdict{Allow: true}
	}
	cover, inside := p.names.find(a, name)
	if inside.deny != 0 {
		return inside.deny.verdict()
	}
	return cover.verdict()
}

// Any is All, but it is enough if a part of it is allowed.
func (p *Policy) Any(a Action, name string) Verdict {
	if p == nil {
		return Verdict{Allow: true}
	}
	cover, inside := p.names.find(a, name)
	if cover <= 0 && inside.allow != 0 {
		return inside.allow.verdict()
	}
	return cover.verdict()
}

// Cut appends the binding names for what is allowed of name to dst: name itself if a
// rule allows it all but for exceptions, else those inside that are allowed, none of
// which covers another. What they match must still be judged by May: there may be
// exceptions. Its cost is the number of names in the rules that name covers.
func (p *Policy) Cut(dst []string, a Action, name string) []string {
	if p == nil {
		return append(dst, name)
	}
	cover, inside := p.names.find(a, name)
	switch {
	case cover > 0:
		return append(dst, name)
	case inside.allow != 0:
		return p.names.cut(dst, a, name)
	default:
		return dst
	}
}

// Sees reports whether somebody may send, hear or answer some name that a binding name
// matches, so that its binding need not be hidden.
func (p *Policy) Sees(name string) bool {
	if p == nil {
		return true
	}
	for a := range ofEndpoints {
		if p.Any(a, name).Allow {
			return true
		}
	}
	return false
}

// Admin judges the use of AdminService.
func (p *Policy) Admin() Verdict {
	if p == nil {
		return Verdict{Allow: true}
	}
	return p.admin.verdict()
}

// Join judges whether a peer may link, and have a network id, or another one behind it.
func (p *Policy) Join(network uint32) Verdict {
	if p == nil {
		return Verdict{Allow: true}
	}
	for i := range p.join {
		for _, s := range p.join[i].networks {
			if s.has(network) {
				return p.join[i].entry.verdict()
			}
		}
	}
	return Verdict{}
}

// Unlimited reports whether everything is allowed that peers and programs do with messages,
// so that none need be judged.
func (p *Policy) Unlimited() bool {
	if p == nil {
		return true
	}
	for a := range ofEndpoints {
		if !p.All(a, "$.*").Allow {
			return false
		}
	}
	return true
}

// Equal reports whether two policies, perhaps of different Sets, are of the same rules,
// whoever they are for.
func (p *Policy) Equal(q *Policy) bool {
	return p == q || p != nil && q != nil && slices.EqualFunc(p.rules, q.rules, func(a, b *rule) bool {
		return a.allow == b.allow && a.actions == b.actions && slices.Equal(a.names, b.names) && slices.Equal(a.networks, b.networks)
	})
}

// Explained is the verdict on one action.
type Explained struct {
	// Action is what was judged, Object with what: a name, or a network id; "" with Admin.
	Action Action
	Object string
	// Verdict is the verdict, Text the rule that decides, or in words that none does.
	Verdict Verdict
	Text    string
}

// Explain returns the verdict on each action of somebody with a name, perhaps a wildcard:
// of that all must be allowed, except to listen. Whether it may join is judged if it has a
// network id. Set may be nil.
func (s *Set) Explain(id Identity, network uint32, name string) []Explained {
	all := s.Verdicts(id, network, name)
	for i := range all {
		all[i].Text = s.why(all[i].Verdict)
	}
	return all
}

// named judges an action with a name as it is judged when it is bound, or sent.
func (p *Policy) named(a Action, name string) Verdict {
	if a == Listen {
		return p.Any(a, name)
	}
	return p.All(a, name)
}

func (s *Set) why(v Verdict) string {
	switch {
	case s == nil:
		return "there are no rules, so everything is allowed"
	case v.Rule == 0:
		return "no rule matches, so it is denied"
	case v.OfLink:
		return s.rules[v.Rule-1].String()
	default:
		return s.rules[s.ofLink+v.Rule-1].String()
	}
}

// Denial returns the sentence for an error about what the rules deny.
func Denial(v Verdict) string {
	var b strings.Builder
	switch {
	case v.Rule == 0:
		b.WriteString("no rule of the configuration allows it, and with rules what none allows is denied")
	case v.OfLink:
		fmt.Fprintf(&b, "rule %d of the link denies it", v.Rule)
	default:
		fmt.Fprintf(&b, "rule %d of the configuration denies it", v.Rule)
	}
	return b.String()
}
