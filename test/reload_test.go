package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A daemon reads its file again at SIGHUP, and when limpetctl says so; what is wrong with
// it is told, and changes nothing.
func TestReloadOfAProcess(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "limpetd.yaml"), filepath.Join(dir, "link")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("verbosity: 1\n")
	limpetd(t, 2, "--listen", link)
	p := limpetd(t, 1, "--config", file)

	write("links:\n  - connect: " + link + "\n    name: there\n")
	const added = "+ connect "
	if out, code := ctl(t, p, "reload", "--dry-run"); code != 0 || !strings.HasPrefix(out, added) {
		t.Errorf("--dry-run says %q (%d)", out, code)
	}
	if out, code := ctl(t, p, "reload"); code != 0 || !strings.HasPrefix(out, added) {
		t.Errorf("reload says %q (%d)", out, code)
	}
	p.waitLinked(t, 1)
	if out, code := ctl(t, p, "reload"); code != 0 || out != "nothing changes\n" {
		t.Errorf("once more: %q (%d)", out, code)
	}

	write("links:\n  - conect: " + link + "\n")
	if out, code := ctl(t, p, "reload"); code != 1 || !strings.Contains(out, `limpetd.yaml:2: there is no setting "conect"`) {
		t.Errorf("of a wrong file: %q (%d)", out, code)
	}
	hangUp := func(says string) {
		t.Helper()
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for ctx := within(t); !strings.Contains(p.log.String(), says); {
			select {
			case <-ctx.Done():
				t.Fatalf("the log does not say %q", says)
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	hangUp("everything stays as it was\" by=SIGHUP ")
	p.waitLinked(t, 1)
	write("verbosity: 0\n")
	hangUp(`msg="configuration reloaded" by=SIGHUP changes=2`)
	if st, err := p.bus.Status(within(t)); err != nil || len(st.GetLinks()) > 0 {
		t.Errorf("links are left: %v, %v", st.GetLinks(), err)
	}

	// What changed since the reload, now that the log says nothing any more.
	if out, code := ctl(t, p, "events", "--since", "reload", "--event", "configuration *"); code != 0 || !sinceReload.MatchString(out) {
		t.Errorf("since the reload: %s (%d)", out, code)
	}
	write("verbosity: 2\nlinks:\n  - connect: " + link + "\n    name: here\n")
	if out, code := ctl(t, p, "reload"); code != 0 {
		t.Errorf("the last one: %s (%d)", out, code)
	}
	p.waitLinked(t, 1)
	out, code := ctl(t, p, "events", "--since", "reload", "--json")
	for _, want := range []string{
		`"level":"info","event":"configuration changed","attributes":{"what":"connect ` + link + `","before":"","after":"name here, `,
		`"level":"info","event":"configuration changed","attributes":{"what":"verbosity","before":"WARN","after":"DEBUG"}}`,
		`"level":"info","event":"link up","attributes":{"link":"here","peer_network":"2",`,
	} {
		if code != 0 || strings.Count(out, want) != 1 {
			t.Errorf("%s is not in %s (%d)", want, out, code)
		}
	}
	p.stop(t)
}

var sinceReload = regexp.MustCompile(`\A[-0-9]+ [0-9:.]+ INFO  configuration changed what="connect \S+" before="name there, .*" after=""
[-0-9]+ [0-9:.]+ INFO  configuration changed what=verbosity before=INFO after=WARN
[-0-9]+ [0-9:.]+ INFO  configuration reloaded by=SIGHUP changes=2
\z`)
