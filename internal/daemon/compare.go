package daemon

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"
	"strings"

	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A Change is one difference between two configurations.
type Change struct {
	// What is a setting, or a link's Title.
	What string
	// Before and After are its values, for people. A link that is added has no Before,
	// one that is removed no After.
	Before, After string
}

// String returns the change as a line for people.
func (c Change) String() string {
	switch {
	case c.Before == "":
		return fmt.Sprintf("add %s: %s", c.What, c.After)
	case c.After == "":
		return "remove " + c.What
	default:
		return fmt.Sprintf("change %s: %s -> %s", c.What, c.Before, c.After)
	}
}

// fixed are the settings with which a daemon lives from its start to its end.
var fixed = []struct {
	name string
	of   func(*Config) any
}{
	{"bus", func(c *Config) any { return c.Bus }},
	{"expose", func(c *Config) any { return c.Expose }},
	{"network-id", func(c *Config) any { return c.NetworkID }},
	{"api", func(c *Config) any {
		if c.API == nil {
			return "none"
		}
		return *c.API
	}},
	{"web", func(c *Config) any {
		if c.Web == nil {
			return "none"
		}
		return *c.Web
	}},
	{"tls-cert", func(c *Config) any { return c.TLS.files().Cert }},
	{"tls-key", func(c *Config) any { return c.TLS.files().Key }},
	{"tls-ca", func(c *Config) any { return c.TLS.files().CA }},
	{"insecure", func(c *Config) any { return c.Insecure }},
	{"peer-group", func(c *Config) any { return c.PeerGroup }},
	{"api-group", func(c *Config) any { return c.APIGroup }},
	{"program-grace", func(c *Config) any { return c.ProgramGrace }},
	{"metrics", func(c *Config) any { return c.Metrics }},
	{"interest-poll", func(c *Config) any { return c.InterestPoll }},
	{"reflection", func(c *Config) any { return c.Reflection }},
	{"peer-names", func(c *Config) any { return c.PeerNames }},
	{"trace-endpoint", func(c *Config) any { return c.Traces.Endpoint }},
	{"trace-sample", func(c *Config) any { return c.Traces.Sample }},
	{"flight-dir", func(c *Config) any { return c.FlightDir }},
	{"stuck-after", func(c *Config) any { return c.StuckAfter }},
	{"record-decisions", func(c *Config) any { return c.Records.Dir }},
	{"record-size", func(c *Config) any { return c.Records.Bytes }},
	{"record-file-size", func(c *Config) any { return c.Records.FileBytes }},
	{"record-data", func(c *Config) any { return c.Records.Data }},
	{"announce-links", func(c *Config) any { return c.AnnounceLinks }},
	{"announce-drops", func(c *Config) any { return c.AnnounceDrops }},
	{"termination-message", func(c *Config) any { return c.Limpet.Termination }},
}

// Compare returns what is to change for a daemon that runs with the first configuration
// to be one with the second, sorted. The error is a *ConfigError: of the second one alone,
// or of a setting that needs another start of the daemon.
func Compare(from, to *Config) ([]Change, error) {
	if err := to.Validate(); err != nil {
		return nil, err
	}
	for _, f := range fixed {
		if before, after := f.of(from), f.of(to); before != after {
			return nil, &ConfigError{f.name, fmt.Errorf("it is %v, and cannot become %v while limpetd runs: start it again for that", before, after)}
		}
	}
	changes := compareLinks(from.links(), to.links())
	changes = append(changes, compareLinkRules(from, to)...)
	if from.Level != to.Level {
		changes = append(changes, Change{"verbosity", from.Level.String(), to.Level.String()})
	}
	if !reflect.DeepEqual(from.Rules, to.Rules) {
		changes = append(changes, Change{rulesChange, sayRules(from.Rules), sayRules(to.Rules)})
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.What, b.What) })
	return changes, nil
}

// rulesChange is what a change of the rules is called.
const rulesChange = "rules"

// sayRules tells one set of rules from another for people.
func sayRules(all []rules.Rule) string {
	if len(all) == 0 {
		return "none"
	}
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%q", all)
	return fmt.Sprintf("%d (%08x)", len(all), h.Sum32())
}

// links returns the links by their titles.
func (c *Config) links() map[string]described {
	all := make(map[string]described)
	for _, l := range c.resolved() {
		cfg := *l.Limpet
		cfg.Trace = false // it is no reason to begin a link anew
		d := described{name: l.Name, tlsName: l.TLSName, renames: cfg.Renames.String()}
		if l.TLS.files() != c.TLS.files() {
			d.tls = l.TLS.files()
		}
		cfg.Renames = nil // which its text stands for
		d.limpet = cfg
		all[l.Title()] = d
	}
	return all
}

// described is what matters of a link.
type described struct {
	name, tlsName, renames string
	tls                    identity.Files // unless they are everybody's
	limpet                 limpet.Config
}

// String returns what is set, with the names of the flags.
func (l described) String() string {
	var words []string
	say := func(setting string, value any) { words = append(words, fmt.Sprintf("%s %v", setting, value)) }
	c := &l.limpet
	if l.name != "" {
		say("name", l.name)
	}
	if l.tls != (identity.Files{}) {
		say("tls-cert", l.tls.Cert)
		say("tls-key", l.tls.Key)
		say("tls-ca", l.tls.CA)
	}
	if l.tlsName != "" {
		say("tls-name", l.tlsName)
	}
	if c.Pattern != "" {
		say("message-name", c.Pattern)
	}
	if l.renames != "" {
		say("rename", l.renames)
	}
	if c.Grace != 0 {
		say("grace", max(c.Grace, 0))
	}
	if c.RequestHold != 0 {
		say("request-hold", c.RequestHold)
	}
	if c.AllInterest {
		say("interest", "off")
	}
	if len(words) == 0 {
		return "as by default"
	}
	return strings.Join(words, ", ")
}

// compareLinkRules returns the differences of links' own rules, with which no link need begin
// anew.
func compareLinkRules(from, to *Config) (changes []Change) {
	before := make(map[string][]rules.Rule)
	for i := range from.Links {
		before[from.Links[i].Title()] = from.Links[i].Rules
	}
	for i := range to.Links {
		l := &to.Links[i]
		if was, stays := before[l.Title()]; stays && !reflect.DeepEqual(was, l.Rules) {
			changes = append(changes, Change{"rules of " + l.Title(), sayRules(was), sayRules(l.Rules)})
		}
	}
	return changes
}

func compareLinks(from, to map[string]described) (changes []Change) {
	for title, before := range from {
		after, stays := to[title]
		switch {
		case !stays:
			changes = append(changes, Change{What: title, Before: before.String()})
		case before != after:
			changes = append(changes, Change{title, before.String(), after.String()})
		}
	}
	for title, after := range to {
		if _, was := from[title]; !was {
			changes = append(changes, Change{What: title, After: after.String()})
		}
	}
	return changes
}
