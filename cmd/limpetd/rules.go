package main

import (
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kbus-limpet/limpet/internal/rulefile"
)

// showRules returns the rules as a file would have them, with where they come from.
func showRules(f *rulefile.File, origins map[string]string) (string, error) {
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

// showRulesIn writes the rules of a link, a line each.
func showRulesIn(w io.Writer, f *rulefile.File, indent, origin string) {
	if len(f.Rules) == 0 {
		return
	}
	fmt.Fprintf(w, "%srules:\t# %s\n", indent, origin)
	for i := range f.Rules {
		var words []string
		for _, field := range ruleFields {
			if list := *f.Rules[i].Fields()[field]; len(list) > 0 {
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
	for name := range new(rulefile.Rule).Fields() {
		rule[name] = words
	}
	for name := range new(rulefile.Test).Fields() {
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
