package rules

// Rules returns the rules that a policy was made of, but for whom they are: a policy that
// Again makes of them judges as this one does. It is nil for a nil policy, which allows
// everything, and empty, not nil, for one that denies everything.
func (p *Policy) Rules() []Rule {
	if p == nil {
		return nil
	}
	all := make([]Rule, 0, len(p.rules))
	for _, r := range p.rules {
		var out Rule
		words := &out.Deny
		if r.allow {
			words = &out.Allow
		}
		for _, a := range Actions() {
			if r.actions.has(a) {
				*words = append(*words, a.String())
			}
		}
		if r.actions&nameActions != 0 {
			out.Names = r.names
		}
		if r.actions.has(Join) {
			out.Networks = each(r.networks, span.String)
		}
		all = append(all, out)
	}
	return all
}

// Again returns a policy of rules that Rules has returned. The error names the rule, the
// field, and the value.
func Again(all []Rule) (*Policy, error) {
	if all == nil {
		return nil, nil //nolint:nilnil // a nil policy allows everything
	}
	s, err := Compile(all)
	if err != nil {
		return nil, err
	}
	if s == nil {
		s = newSet()
	}
	return s.For(Identity{}, 0), nil
}
