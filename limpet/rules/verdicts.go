package rules

import "strconv"

// Verdicts returns what Explain does, but for Text, which costs as much as the rule is long.
func (s *Set) Verdicts(id Identity, network uint32, name string) []Explained {
	p := s.For(id, network)
	var all []Explained
	for a := range withNames {
		all = append(all, Explained{Action: a, Object: name, Verdict: p.named(a, name)})
	}
	all = append(all, Explained{Action: Admin, Verdict: p.Admin()})
	if network != 0 {
		all = append(all, Explained{Action: Join, Object: strconv.FormatUint(uint64(network), 10), Verdict: p.Join(network)})
	}
	return all
}
