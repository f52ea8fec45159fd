package rulefile

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A File is what a configuration file says of who may do what.
type File struct {
	Rules []Rule `yaml:"rules,omitempty"`
	Tests []Test `yaml:"tests,omitempty"`
}

// A Rule is a rule as it stands in the file; rules.Compile judges what is in it.
type Rule struct {
	Allow    []string `yaml:"allow,omitempty,flow"`
	Deny     []string `yaml:"deny,omitempty,flow"`
	Who      []string `yaml:"who,omitempty,flow"`
	Names    []string `yaml:"names,omitempty,flow"`
	Networks []string `yaml:"networks,omitempty,flow"`
}

// Fields returns the fields by their names in the file.
func (r *Rule) Fields() map[string]*[]string {
	return map[string]*[]string{"allow": &r.Allow, "deny": &r.Deny, "who": &r.Who, "names": &r.Names, "networks": &r.Networks}
}

// A Test is a test, which rules.Set.Check judges.
type Test struct {
	Who   string `yaml:"who"`
	Allow string `yaml:"allow,omitempty"`
	Deny  string `yaml:"deny,omitempty"`
}

// Fields returns the fields by their names in the file.
func (t *Test) Fields() map[string]*string {
	return map[string]*string{"who": &t.Who, "allow": &t.Allow, "deny": &t.Deny}
}

// TakeRules takes the file's list of rules. at tells where a node stands, for the errors.
func (f *File) TakeRules(list *yaml.Node, at func(*yaml.Node) string) error {
	return EachItem("rules", list, at, func(item *yaml.Node) error {
		var r Rule
		fields := r.Fields()
		err := EachSetting(item, at, func(key, value *yaml.Node) error {
			field := fields[key.Value]
			if field == nil {
				return fmt.Errorf("%s: rules: there is no %q in a rule; there are allow, deny, who, names and networks", at(key), key.Value)
			}
			words, err := WordsOf(value, true)
			if err != nil {
				return fmt.Errorf("%s: rules: %s: %w", at(value), key.Value, err)
			}
			if len(words) == 0 || slices.Contains(words, "") { // it would mean something else than one may think
				return fmt.Errorf("%s: rules: %s: it has nothing in it; leave it out", at(value), key.Value)
			}
			*field = words
			return nil
		})
		f.Rules = append(f.Rules, r)
		return err
	})
}

// TakeTests takes the file's list of tests. at tells where a node stands, for the errors.
func (f *File) TakeTests(list *yaml.Node, at func(*yaml.Node) string) error {
	return EachItem("tests", list, at, func(item *yaml.Node) error {
		var t Test
		fields := t.Fields()
		err := EachSetting(item, at, func(key, value *yaml.Node) error {
			field := fields[key.Value]
			if field == nil {
				return fmt.Errorf("%s: tests: there is no %q in a test; there are who, allow and deny", at(key), key.Value)
			}
			words, err := WordsOf(value, false)
			if err != nil {
				return fmt.Errorf("%s: tests: %s: %w", at(value), key.Value, err)
			}
			*field = words[0]
			return nil
		})
		f.Tests = append(f.Tests, t)
		return err
	})
}

// EachItem calls f for each item of a list, which is a mapping.
func EachItem(name string, list *yaml.Node, at func(*yaml.Node) string, f func(*yaml.Node) error) error {
	if list.Kind != yaml.SequenceNode {
		return fmt.Errorf("%s: %s: it is a list: start each with \"- \"", at(list), name)
	}
	for _, item := range list.Content {
		if item.Kind != yaml.MappingNode {
			return fmt.Errorf("%s: %s: each of them has settings, the first of which stands behind \"- \"", at(item), name)
		}
		if err := f(item); err != nil {
			return err
		}
	}
	return nil
}

// All returns the rules and tests as package rules has them.
func (f *File) All() (all []rules.Rule, tests []rules.Test) {
	for _, r := range f.Rules {
		all = append(all, rules.Rule(r))
	}
	for _, t := range f.Tests {
		tests = append(tests, rules.Test(t))
	}
	return all, tests
}
