package main

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

func TestRulesOfTheFile(t *testing.T) {
	cfg, err := load(t, `
rules:
  - allow: [announce, request]
    who: ["name:spiffe://plant/sensor-*", "uid:1000"]
    names: ["$.Sensor.*"]
  - allow: join
    networks: [2, "10-19"]
  - deny: all
tests:
  - who: "name:spiffe://plant/sensor-7"
    allow: announce $.Sensor.Rain
  - who: "uid:1000"
    deny: reply $.*
`)
	if err != nil {
		t.Fatal(err)
	}
	if want := []rules.Rule{
		{Allow: []string{"announce", "request"}, Who: []string{"name:spiffe://plant/sensor-*", "uid:1000"}, Names: []string{"$.Sensor.*"}},
		{Allow: []string{"join"}, Networks: []string{"2", "10-19"}},
		{Deny: []string{"all"}},
	}; !reflect.DeepEqual(cfg.daemon.Rules, want) {
		t.Errorf("rules %+v", cfg.daemon.Rules)
	}
	if want := []rules.Test{
		{Who: "name:spiffe://plant/sensor-7", Allow: "announce $.Sensor.Rain"}, {Who: "uid:1000", Deny: "reply $.*"},
	}; !reflect.DeepEqual(cfg.daemon.Tests, want) {
		t.Errorf("tests %+v", cfg.daemon.Tests)
	}
	var out strings.Builder
	if err := cfg.sayCheck(&out); err != nil || !strings.Contains(out.String(), "3, and 2 tests that hold") {
		t.Errorf("--check says %s, %v", &out, err)
	}
}

func TestWrongRulesOfTheFile(t *testing.T) {
	for yaml, want := range map[string][]string{
		"rules: yes":                                 {"rules: it is not a list"},
		"rules: {allow: all}":                        {"rules: it is not a list"},
		"rules: [all]":                               {"rule 1: all is not a map"},
		"rules: [{allow: all, nmes: [$.A]}]":         {`rule 1: there is no key "nmes"`, "allow, deny, who, names, networks"},
		"rules: [{allow: all}, {allow: [fly]}]":      {"rule 2: allow:", `"fly"`},
		"rules: [{allow: []}]":                       {"rule 1", "neither allow nor deny"},
		"rules: [{allow: all, who: []}]":             {"rule 1: who: the list is empty"},
		"rules: [{allow: all, names: [[$.A]]}]":      {"rule 1: names:", "not a word or a number"},
		"rules: [{allow: all, names: [\"\"]}]":       {"rule 1: names: a word is empty"},
		"rules: [{allow: join, networks: [2.5]}]":    {"rule 1: networks: 2.5"},
		"rules: [{allow: join, networks: [\"9-\"]}]": {"rule 1: networks:", `"9-"`},
		"tests: [{who: uid:1, allow: [a, b]}]":       {"test 1: allow: it is a list of 2"},
		"tests: [{who: uid:1, deny: admin}]":         {"test 1: uid:1: admin is allowed, not denied: there are no rules"},
		"rules: [{deny: all}]\ntests: [{who: uid:1, deny: admin}, {who: uid:1, allow: listen $.A}]": {"test 2: uid:1: listen $.A is denied, not allowed: deny: [all]"},
	} {
		_, err := load(t, yaml)
		if err == nil {
			t.Errorf("%s is taken", yaml)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", yaml, err, w)
			}
		}
	}
	t.Setenv("LIMPETD_RULES", "all")
	if _, err := load(t, ""); err == nil || !strings.Contains(err.Error(), "LIMPETD_RULES") {
		t.Errorf("rules from the environment: %v", err)
	}
}

// No file makes the reader of rules panic.
func FuzzRules(f *testing.F) {
	f.Add("rules: [{allow: all, who: [any], names: [$.A.*], networks: [1]}]\ntests: [{who: unknown, deny: admin}]")
	f.Add("rules: 3\ntests: {}")
	f.Add("rules: [{allow: {a: b}}, null, [1]]")
	f.Fuzz(func(t *testing.T, yaml string) {
		if !strings.Contains(yaml, "rules") && !strings.Contains(yaml, "tests") {
			return
		}
		_, _ = load(t, yaml, "--api", "none", "--bus", "embedded", "--expose", "/tmp/kbus0")
	})
}

// The examples of the documents are good, and their tests hold.
func TestTheExamplesOfTheDocuments(t *testing.T) {
	for _, file := range []string{"../../docs/rules.md", "../../README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			yaml, _, _ := strings.Cut(block, "```")
			if !strings.Contains(yaml, "rules:") {
				continue
			}
			n++
			if cfg, err := load(t, yaml); err != nil || len(cfg.daemon.Rules) < 3 || len(cfg.daemon.Tests) == 0 {
				t.Errorf("%s: %v", file, err)
			}
		}
		if n == 0 {
			t.Errorf("%s has no example", file)
		}
	}
}
