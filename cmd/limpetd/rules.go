package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// fileRules are what the file says of who may do what. Neither flags nor the environment
// have them.
type fileRules struct {
	Rules []fileRule `yaml:"rules,omitempty"`
	Tests []fileTest `yaml:"tests,omitempty"`
}

// A fileRule is a rule as it stands in the file; rules.Compile judges what is in it.
type fileRule struct {
	Allow    []string `yaml:"allow,omitempty,flow"`
	Deny     []string `yaml:"deny,omitempty,flow"`
	Who      []string `yaml:"who,omitempty,flow"`
	Names    []string `yaml:"names,omitempty,flow"`
	Networks []string `yaml:"networks,omitempty,flow"`
}

func (r *fileRule) fields() map[string]*[]string {
	return map[string]*[]string{"allow": &r.Allow, "deny": &r.Deny, "who": &r.Who, "names": &r.Names, "networks": &r.Networks}
}

// A fileTest is a test, which rules.Set.Check judges.
type fileTest struct {
	Who   string `yaml:"who"`
	Allow string `yaml:"allow,omitempty"`
	Deny  string `yaml:"deny,omitempty"`
}

func (t *fileTest) fields() map[string]*string {
	return map[string]*string{"who": &t.Who, "allow": &t.Allow, "deny": &t.Deny}
}

// takeRules takes the file's list of rules.
func (f *fileRules) takeRules(list *yaml.Node, at func(*yaml.Node) string) error {
	return eachItem("rules", list, at, func(item *yaml.Node) error {
		var r fileRule
		fields := r.fields()
		err := eachSetting(item, at, func(key, value *yaml.Node) error {
			field := fields[key.Value]
			if field == nil {
				return fmt.Errorf("%s: rules: there is no %q in a rule; there are allow, deny, who, names and networks", at(key), key.Value)
			}
			words, err := wordsOf(value, true)
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

// takeTests takes the file's list of tests.
func (f *fileRules) takeTests(list *yaml.Node, at func(*yaml.Node) string) error {
	return eachItem("tests", list, at, func(item *yaml.Node) error {
		var t fileTest
		fields := t.fields()
		err := eachSetting(item, at, func(key, value *yaml.Node) error {
			field := fields[key.Value]
			if field == nil {
				return fmt.Errorf("%s: tests: there is no %q in a test; there are who, allow and deny", at(key), key.Value)
			}
			words, err := wordsOf(value, false)
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

// eachItem calls f for each item of a list, which is a mapping.
func eachItem(name string, list *yaml.Node, at func(*yaml.Node) string, f func(*yaml.Node) error) error {
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

// forDaemon returns the rules and tests as package daemon has them.
func (f *fileRules) forDaemon() (all []rules.Rule, tests []rules.Test) {
	for _, r := range f.Rules {
		all = append(all, rules.Rule(r))
	}
	for _, t := range f.Tests {
		tests = append(tests, rules.Test(t))
	}
	return all, tests
}

// show returns the rules as a file would have them, with where they come from.
func (f *fileRules) show(origins map[string]string) (string, error) {
	if len(f.Rules)+len(f.Tests) == 0 {
		return "", nil
	}
	text, err := yaml.Marshal(f)
	if err != nil {
		return "", err
	}
	out := string(text)
	for _, name := range []string{"rules", "tests"} {
		out = strings.Replace("\n"+out, "\n"+name+":\n", "\n"+name+": # "+origins[name]+"\n", 1)[1:]
	}
	return out, nil
}

// showIn writes the rules of a link, a line each.
func (f *fileRules) showIn(w io.Writer, indent, origin string) {
	if len(f.Rules) == 0 {
		return
	}
	fmt.Fprintf(w, "%srules:\t# %s\n", indent, origin)
	for i := range f.Rules {
		var words []string
		for _, field := range ruleFields {
			if list := *f.Rules[i].fields()[field]; len(list) > 0 {
				words = append(words, field+": "+yamlList(list))
			}
		}
		fmt.Fprintf(w, "%s  - {%s}\n", indent, strings.Join(words, ", "))
	}
}

// ruleFields are the fields of a rule, in the order in which they are shown.
var ruleFields = []string{"allow", "deny", "who", "names", "networks"}

// rulesSchema returns the schemas of rules and tests.
func rulesSchema() (all, tests schema) {
	word := schema{"type": []string{"string", "integer"}}
	words := schema{"oneOf": []schema{word, {"type": "array", "items": word, "minItems": 1}}}
	rule, test := make(schema), make(schema)
	for name := range new(fileRule).fields() {
		rule[name] = words
	}
	for name := range new(fileTest).fields() {
		test[name] = schema{"type": "string"}
	}
	list := func(properties schema, description string, more schema) schema {
		item := schema{"type": "object", "additionalProperties": false, "properties": properties}
		for k, v := range more {
			item[k] = v
		}
		return schema{"type": "array", "items": item, "description": description}
	}
	one := schema{"oneOf": []schema{{"required": []string{"allow"}}, {"required": []string{"deny"}}}}
	return list(rule, "who may do what: the first that matches decides, and what none matches is denied", one),
		list(test, "what must follow from the rules", schema{"oneOf": one["oneOf"], "required": []string{"who"}})
}
