package test

import (
	"os"
	"path/filepath"
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
	hangUp("everything stays as it was")
	p.waitLinked(t, 1)
	write("verbosity: 0\n")
	hangUp(`change="remove connect `)
	if st, err := p.bus.Status(within(t)); err != nil || len(st.GetLinks()) > 0 {
		t.Errorf("links are left: %v, %v", st.GetLinks(), err)
	}
	p.stop(t)
}
