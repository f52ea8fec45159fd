package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/v2"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// fileRules are what a configuration file says of who may do what.
type fileRules struct {
	rules []rules.Rule
	tests []rules.Test
}

// takeRules takes the rules, and their tests, out of what a file has.
func takeRules(k *koanf.Koanf) (f fileRules, err error) {
	if f.rules, err = parseRules(k.Get("rules")); err != nil {
		return f, err
	}
	if f.tests, err = parseTests(k.Get("tests")); err != nil {
		return f, err
	}
	k.Delete("rules")
	k.Delete("tests")
	return f, nil
}

// parseRules returns the rules in a value of YAML: a list of maps. What is in them is
// judged by rules.Compile.
func parseRules(value any) ([]rules.Rule, error) {
	var all []rules.Rule
	err := eachMap("rules", "rule", value, func(m map[string]any) (err error) {
		var r rules.Rule
		for _, x := range []struct {
			field string
			list  *[]string
		}{{"allow", &r.Allow}, {"deny", &r.Deny}, {"who", &r.Who}, {"names", &r.Names}, {"networks", &r.Networks}} {
			if *x.list, err = words(x.field, m); err != nil {
				return err
			}
		}
		all = append(all, r)
		return nil
	}, "allow", "deny", "who", "names", "networks")
	return all, err
}

// parseTests likewise; they are judged by rules.Set.Check.
func parseTests(value any) ([]rules.Test, error) {
	var all []rules.Test
	err := eachMap("tests", "test", value, func(m map[string]any) error {
		var t rules.Test
		for _, x := range []struct {
			field string
			word  *string
		}{{"who", &t.Who}, {"allow", &t.Allow}, {"deny", &t.Deny}} {
			list, err := words(x.field, m)
			if err != nil {
				return err
			}
			if len(list) > 1 {
				return fmt.Errorf("%s: it is a list of %d; a test has one %s", x.field, len(list), x.field)
			}
			*x.word = strings.Join(list, "")
		}
		all = append(all, t)
		return nil
	}, "who", "allow", "deny")
	return all, err
}

// eachMap calls f for each map of a list, whose keys are among fields.
func eachMap(key, one string, value any, f func(map[string]any) error, fields ...string) error {
	if value == nil {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		return fmt.Errorf("%s: it is not a list; begin each %s with \"- \"", key, one)
	}
	for i, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return fmt.Errorf("%s %d: %v is not a map; its keys are %s", one, i+1, item, strings.Join(fields, ", "))
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !slices.Contains(fields, k) {
				return fmt.Errorf("%s %d: there is no key %q; there are %s", one, i+1, k, strings.Join(fields, ", "))
			}
		}
		if err := f(m); err != nil {
			return fmt.Errorf("%s %d: %w", one, i+1, err)
		}
	}
	return nil
}

// words returns a field that has a word or number, or a list of them. A list that is empty
// would mean something else than its author thinks, and is refused.
func words(field string, m map[string]any) ([]string, error) {
	value, ok := m[field]
	if !ok {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) == 0 && (field == "allow" || field == "deny") {
		return nil, nil // which rules.Compile has words for
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: the list is empty; leave %s out, which means all", field, field)
	}
	out := make([]string, len(list))
	for i, item := range list {
		switch item := item.(type) {
		case string:
			out[i] = item
		case int:
			out[i] = strconv.Itoa(item)
		default:
			return nil, fmt.Errorf("%s: %v is not a word or a number; write it in quotes", field, item)
		}
		if out[i] == "" {
			return nil, fmt.Errorf("%s: a word is empty; leave it out", field)
		}
	}
	return out, nil
}
