package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/kbusfs"
)

const good = `rules:
  - allow: all
    who: uid:0
  - allow: [announce, listen]
    who: ["gid:27"]
    names: $.Open.*
tests:
  - who: "uid:1000 gid:27"
    allow: listen $.Open.*
`

// What is wrong with the file is said at the start, with its line.
func TestRulesAreReadAtTheStart(t *testing.T) {
	for want, text := range map[string]string{
		"":                                  good,
		"has no rules":                      "# nothing\n",
		"rules; to allow everything write":  "tests: []\n",
		"must have a list of rules":         "- allow: all\n",
		":2: there is no setting \"links\"": "rules: [{allow: all}]\nlinks: []\n",
		":3: rules: there is no \"whom\"":   "rules:\n- allow: all\n  whom: any\n",
		":1: rules: rule 1: who: \"me\"":    "rules: [{allow: all, who: me}]\n",
		":2: tests: test 1: uid:1: listen":  "rules: [{deny: all}]\ntests: [{who: \"uid:1\", allow: listen $.A}]\n",
		"configuration file ":               "rules: [\n",
	} {
		path := filepath.Join(t.TempDir(), "rules.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := configured(t, path)
		switch {
		case want == "" && err != nil:
			t.Errorf("%v", err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), "--rules: ") || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path)):
			t.Errorf("%q: %v", want, err)
		}
	}
	if err := configured(t, "/missing"); err == nil || !strings.Contains(err.Error(), "--rules: reading the configuration file: open /missing") {
		t.Errorf("a missing file: %v", err)
	}
}

// The example of the documents is good, and its tests hold.
func TestTheExampleOfRules(t *testing.T) {
	text, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Programs of devices\n")
	_, block, _ := strings.Cut(section, "```yaml\n")
	yaml, _, found := strings.Cut(block, "```")
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := configured(t, path); err != nil || !found {
		t.Error(err)
	}
}

func configured(t *testing.T, rules string) error {
	t.Helper()
	o := options{mode: "0666", by: "auto", maxMessages: 100, maxSize: 1000, rules: rulebook{path: rules}}
	o.cfg = kbusfs.Config{Dir: t.TempDir(), Devices: 1, MaxQueue: 100}
	return o.configure(io.Discard)
}

// A signal has the file read again; one that is wrong changes nothing.
func TestRulesAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(good)
	said, log := io.Pipe()
	b := rulebook{path: path, log: slog.New(slog.NewTextHandler(log, nil))}
	if err := b.read(); err != nil {
		t.Fatal(err)
	}
	if b.judgeOf(kbusfs.Program{}) != nil {
		t.Error("root, who may do everything, is judged")
	}
	may := func() bool {
		j := b.judgeOf(kbusfs.Program{UID: 1000, Groups: []uint32{4, 27}})
		return j == nil || j.Binds("$.Open.A", kbusdev.Listener)
	}
	if !may() {
		t.Error("one of the group may not listen")
	}
	ctx, stop := context.WithCancel(t.Context())
	hangUp, changed, ended := make(chan os.Signal), 0, make(chan struct{})
	go func() { defer close(ended); b.readAt(ctx, hangUp, func() { changed++ }) }()
	line := make([]byte, 1000)
	for _, c := range []struct {
		text, said string
		changed    int
		may        bool
	}{
		{"rules: [{allow: everything}]", "rules.yaml:1: rules: rule 1: allow:", 0, true},
		{"", "it has no rules", 0, true},
		{"rules: [{deny: all}]", "rules reloaded", 1, false},
		{"rules: [{allow: all}]", "rules reloaded", 2, true},
	} {
		write(c.text)
		hangUp <- syscall.SIGHUP
		n, err := said.Read(line)
		if err != nil || !strings.Contains(string(line[:n]), c.said) {
			t.Errorf("%s: it says %q, %v", c.text, line[:n], err)
		}
		if changed != c.changed || may() != c.may {
			t.Errorf("%s: changed %d times, may %t", c.text, changed, may())
		}
	}
	stop()
	<-ended
}
