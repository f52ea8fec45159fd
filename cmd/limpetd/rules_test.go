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
		"rules: yes":          {"limpetd.yaml:1: rules: it is a list"},
		"rules: {allow: all}": {"limpetd.yaml:1: rules: it is a list"},
		"rules: [all]":        {"limpetd.yaml:1: rules: each of them has settings"},
		"bus: auto\nrules:\n- allow: all\n  nmes: [$.A]": {`limpetd.yaml:4: rules: there is no "nmes" in a rule; there are allow, deny, who, names and networks`},
		"rules: [{allow: all, allow: admin}]":            {`"allow" stands there twice`},
		"rules: [{allow: all}, {allow: [fly]}]":          {"limpetd.yaml:1: rules: rule 2: allow:", `"fly"`},
		"rules: [{who: any}]":                            {"rule 1", "neither allow nor deny"},
		"rules: [{allow: []}]":                           {"rules: allow: it has nothing in it"},
		"rules: [{allow: all, who: []}]":                 {"rules: who: it has nothing in it"},
		"rules: [{allow: all, who: }]":                   {"rules: who: it has no value"},
		"rules: [{allow: all, names: [[$.A]]}]":          {"rules: names: it is a word or a number"},
		"rules: [{allow: all, names: [\"\"]}]":           {"rules: names: it has nothing in it"},
		"rules: [{allow: join, networks: [2.5]}]":        {`rule 1: networks: "2.5"`},
		"rules: [{allow: join, networks: [\"9-\"]}]":     {"rule 1: networks:", `"9-"`},
		"tests: [{who: uid:1, allow: [a, b]}]":           {"tests: allow: it is one value, not a list"},
		"tests: [{who: uid:1, deny: admin}]":             {"limpetd.yaml:1: tests: test 1: uid:1: admin is allowed, not denied: there are no rules"},
		"tests: [{whom: uid:1}]":                         {`there is no "whom" in a test; there are who, allow and deny`},
		"rules: [{deny: all}]\ntests: [{who: uid:1, deny: admin}, {who: uid:1, allow: listen $.A}]": {"limpetd.yaml:2: tests: test 2: uid:1: listen $.A is denied, not allowed: deny: [all]"},
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
func TestTheExamplesOfRules(t *testing.T) {
	for _, file := range []string{"../../docs/rules.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			yaml, _, _ := strings.Cut(block, "```")
			n++
			if cfg, err := load(t, yaml); err != nil || strings.Contains(yaml, "tests:") && (len(cfg.daemon.Rules) < 3 || len(cfg.daemon.Tests) == 0) {
				t.Errorf("%s: %v in\n%s", file, err, yaml)
			}
		}
		if n == 0 {
			t.Errorf("%s has no example", file)
		}
	}
}

// What is shown of rules is a file that means the same.
func TestShowRules(t *testing.T) {
	l := loaderFor(t, "api: none\nexpose: /tmp/kbus0\nrules:\n- allow: all\n  who: [any, \"name:*.example\"]\n  names: \"$.*\"\n- {allow: join, networks: [16, \"3-4\"]}\ntests:\n- {who: unknown, deny: admin}\n")
	l.file = renamed(t, l.file)
	var out strings.Builder
	if err := showConfig(l, &out); err != nil {
		t.Fatal(err)
	}
	before, err := l.load()
	if err != nil {
		t.Fatal(err)
	}
	after, err := load(t, out.String())
	if err != nil {
		t.Fatalf("%v in\n%s", err, &out)
	}
	if !reflect.DeepEqual(before.daemon.Rules, after.daemon.Rules) || !reflect.DeepEqual(before.daemon.Tests, after.daemon.Tests) || len(after.daemon.Rules) != 2 {
		t.Errorf("what is shown means %+v, not %+v", after.daemon.Rules, before.daemon.Rules)
	}
	if !strings.Contains(out.String(), "rules: # conf.yaml:3") || !strings.Contains(out.String(), "tests: # conf.yaml:8") {
		t.Errorf("it does not say where they come from:\n%s", &out)
	}
}
