package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/internal/daemon"
)

// What is wrong in a file is refused with the line, the value and the way out.
func TestFileIsStrict(t *testing.T) {
	for yaml, want := range map[string]string{
		"bus: embedded\nnetwrk-id: 4\n":        `limpetd.yaml:2: there is no setting "netwrk-id"`,
		"network-id: 1.5\n":                    `limpetd.yaml:1: network-id: "1.5" is no uint32`,
		"network-id: -1\n":                     `"-1" is no uint32`,
		"grace: 30\n":                          `limpetd.yaml:1: grace: "30" is no duration: must be a duration like`,
		"announce-links: maybe\n":              `announce-links: "maybe" is no bool`,
		"bus: embedded\nbus: auto\n":           `limpetd.yaml:2: "bus" stands there twice, first in line 1`,
		"metrics: foo\n":                       `limpetd.yaml:1: metrics: "foo" is not HOST:PORT`,
		"interest: sometimes\n":                `limpetd.yaml:1: interest: "sometimes" is not one of on, poll, off`,
		"network-id:\n":                        "network-id: it has no value",
		"network-id: [1]\n":                    "network-id: it is one value, not a list",
		"listen: {a: b}\n":                     "listen: it is a word or a number",
		"- a\n":                                "the file must have settings",
		"network-id: 1\nconnect: host\n":       `limpetd.yaml:2: connect: address "host": give host:port`,
		"network-id: 1\nconnect: [a:1, a:1]\n": "limpetd.yaml:2: connect: the address a:1 is given twice",
		"network-id: 1\nlisten: [':1']\nlinks: [{listen: ':1'}]\n":                       "the address :1 is given twice",
		"network-id: 1\nlinks:\n  - connect: a:1\n    grce: 1s\n":                        `limpetd.yaml:4: there is no setting "grce"`,
		"network-id: 1\nlinks:\n  - grace: 1s\n":                                         "limpetd.yaml:3: links: a link has one of connect, listen",
		"network-id: 1\nlinks:\n  - {connect: 'a:1', listen: 'b:1'}\n":                   "a link has one of connect, listen",
		"network-id: 1\nlinks: [{listen: 'a:1', name: x}]\n":                             `leave name "x" out`,
		"network-id: 1\nlinks: [{connect: 'a:1', name: x}, {connect: 'b:1', name: x}]\n": `connect a:1 and connect b:1 have both the name "x"`,
		"network-id: 1\nlinks: [{connect: 'a:1', grace: 1000h}]\n":                       "connect a:1: grace: 1000h0m0s is too long",
		"network-id: 1\nlinks: {connect: 'a:1'}\n":                                       "links: it is a list",
		"network-id: 1\nlinks: [a]\n":                                                    "links: a link is made of settings",
		"network-id: 1\nconnect: a:1\n":                                                  "limpetd.yaml:2: connect: a:1 leads to another machine, and without TLS",
		"network-id: 1\nlinks: [{listen: '[::1]:1', tls-name: x}]\n":                     "listen [::1]:1: tls-name is for daemons that are dialled",
		"network-id: 1\nlinks:\n  - connect: a:1\n":                                      "limpetd.yaml:3: links: a:1 leads to another machine, and without TLS",
		"network-id: 1\nlinks:\n  - {connect: 'a:1', tls-cert: x}\n":                     "limpetd.yaml:3: links: connect a:1: TLS takes all of",
		"network-id: 1\nlinks:\n  - {connect-classic: 'localhost:1', tls-cert: x}\n":     "limpetd.yaml:3: links: connect-classic localhost:1: the classic protocol has no TLS",
		"network-id: 1\nlinks:\n  - connect: a:1\n    rules: [{allow: fly}]\n":           `limpetd.yaml:3: links: connect a:1: rule 1: allow: "fly" is not an action`,
		"network-id: 1\nlinks:\n  - connect: a:1\n    rules: [{alow: all}]\n":            `limpetd.yaml:4: rules: there is no "alow" in a rule`,
		"network-id: 1\nlinks:\n  - connect: a:1\n    rename: $.A\n":                     `limpetd.yaml:4: links: rename: "$.A" is no rename`,
		"network-id: 1\nlinks:\n  - connect: a:1\n    rename: [$.A=$.B, $.A.C=$.D]\n":    `limpetd.yaml:4: links: rename: rename $.A.C=$.D: the prefix here`,
		"network-id: 1\nrename: $.A.*=$.B\n":                                             `limpetd.yaml:2: rename: rename $.A.*=$.B: the prefix here, "$.A.*", is no name`,
		"a: b: c\n":                                                                      "configuration file",
	} {
		if _, err := load(t, yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", yaml, err, want)
		}
	}
	if _, err := load(t, "interest: on\nnetwork-id: 0x10\nconnect: a:1\ninsecure: true\n"); err != nil {
		t.Errorf("what YAML takes for a truth or another sort of number: %v", err)
	}
}

const linkedFile = `
network-id: 4
grace: 1m
insecure: true
links:
  - connect: hosta:7000
    name: north
    message-name: $.North.*
    rename: [$.North.Here=$.There]
    tls-cert: cert.pem
    tls-key: key.pem
    tls-ca: ca.pem
    rules:
      - deny: [announce, listen]
        names: $.North.Secret.*
      - allow: all
  - listen: /tmp/link
    grace: 5s
    interest: off
`

func TestLinksHaveSettingsOfTheirOwn(t *testing.T) {
	cfg, err := load(t, linkedFile, "--connect-classic", "hostb:7000", "--termination-message", "$.Stop")
	if err != nil {
		t.Fatal(err)
	}
	l := cfg.daemon.Links
	if len(l) != 3 || l[0].Title() != "connect-classic hostb:7000" || l[1].Title() != "connect hosta:7000" || l[2].Title() != "listen /tmp/link" {
		t.Fatalf("%+v", l)
	}
	if l[0].Limpet != nil {
		t.Errorf("a link of the flags has settings of its own: %+v", l[0].Limpet)
	}
	if c := l[1].Limpet; l[1].Name != "north" || c.Pattern != "$.North.*" || c.Grace != time.Minute || c.AllInterest || c.Termination != "$.Stop" || c.Renames.String() != "$.North.Here=$.There" ||
		*l[1].TLS != (daemon.TLS{Cert: "cert.pem", Key: "key.pem", CA: "ca.pem"}) || len(l[1].Rules) != 2 || l[1].Rules[0].Names[0] != "$.North.Secret.*" {
		t.Errorf("%+v", c)
	}
	if c := l[2].Limpet; c.Pattern != "$.*" || c.Grace != 5*time.Second || !c.AllInterest {
		t.Errorf("%+v", c)
	}
}

// What is shown names where each setting comes from, and is a file that means the same.
func TestShow(t *testing.T) {
	t.Setenv("LIMPETD_REQUEST_HOLD", "2s")
	l := loaderFor(t, linkedFile, "--bus", "embedded", "--api", "none")
	l.file = renamed(t, l.file)
	var out strings.Builder
	if err := showConfig(l, &out); err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"network-id: 4 # conf.yaml:2", "grace: 1m0s # conf.yaml:3", "request-hold: 2s # LIMPETD_REQUEST_HOLD", "bus: embedded # --bus", "interest: on # default",
		"- connect: hosta:7000 # conf.yaml:6 name: north # conf.yaml:7 tls-cert: cert.pem # conf.yaml:10", "message-name: $.North.* # conf.yaml:8", "grace: 1m0s # as above",
		"rules: # conf.yaml:13 - {deny: [announce, listen], names: [$.North.Secret.*]} - {allow: [all]} - listen: /tmp/link",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("it does not show %q:\n%s", want, &out)
		}
	}
	before, err := l.load()
	if err != nil {
		t.Fatal(err)
	}
	after, err := load(t, out.String())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(after), describe(before); got != want {
		t.Errorf("what is shown means\n%s\nnot\n%s", got, want)
	}
}

func describe(c *config) string {
	d := c.daemon
	for i := range d.Links {
		d.Links[i].At = "" // which differs
	}
	text, _ := json.Marshal(map[string]any{"links": d.Links, "limpet": d.Limpet, "bus": d.Bus, "id": d.NetworkID, "grace": d.ProgramGrace})
	return string(text)
}

// renamed moves a file to conf.yaml in the working folder, which it makes a new one.
func renamed(t *testing.T, file string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.Rename(file, "conf.yaml"); err != nil {
		t.Fatal(err)
	}
	return "conf.yaml"
}

// The schema has every setting, and refuses what is none.
func TestSchema(t *testing.T) {
	text, err := json.Marshal(fileSchema())
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties           map[string]json.RawMessage
		AdditionalProperties bool
	}
	s.AdditionalProperties = true
	if err := json.Unmarshal(text, &s); err != nil || s.AdditionalProperties {
		t.Errorf("%v, %+v", err, s.AdditionalProperties)
	}
	for _, name := range []string{"listen", "network-id", "grace", "links", "api"} {
		if s.Properties[name] == nil {
			t.Errorf("it does not know %s", name)
		}
	}
	if !strings.Contains(string(s.Properties["links"]), `"connect"`) {
		t.Errorf("links: %s", s.Properties["links"])
	}
}
