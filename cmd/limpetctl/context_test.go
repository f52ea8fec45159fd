package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/client"
)

// contextual runs a command as a user whose folder for configuration is dir.
func contextual(t *testing.T, dir string, args ...string) (string, int) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", dir)
	var out bytes.Buffer
	code := run(t.Context(), args, &out, &out)
	return out.String(), code
}

// A life of contexts: made, changed, used, removed.
func TestContexts(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args, says string
		code       int
	}{
		{"context list", "", exitOK},
		{"context set north", `context "north" is new: say where the daemon is, with --api ADDRESS`, exitUsage},
		{"context set ../north --api n:1", "a name has up to 64 letters", exitUsage},
		{"context set north --api n", "give host:port", exitUsage},
		{"context set north --api n:1 --tls-cert /c.pem", "", exitOK},
		{"context set north --tls-name n2", "", exitOK},
		{"context set south --api unix:/run/south.sock", "", exitOK},
		{"context use east", `there is no context "east" in ` + dir + `/limpetctl/contexts.json: there are north, south`, exitUsage},
		{"context use north", "", exitOK},
		{"context list", "* north  n:1\n  south  /run/south.sock\n", exitOK},
		{"context show north", "api       n:1\ntls_cert  /c.pem\ntls_name  n2\n", exitOK},
		{"context show", "api       n:1\ntls_cert  /c.pem\ntls_name  n2\n", exitOK},
		{"context show --context south", "api  /run/south.sock\n", exitOK},
		{"context show --api a:1", "api  a:1\n", exitOK},
		{"context show --api a:1 --context south", "none of the others can be", exitUsage},
		{"context show --tls-name n3", "tls_name  n3\n", exitOK},
		{"context remove north", "", exitOK},
		{"context show", "api  " + client.DefaultAPIAddress() + "\n", exitOK},
		{"context use south", "", exitOK},
		{"context use", "", exitOK},
		{"context list", "  south  /run/south.sock\n", exitOK},
		{"context show north", `there is no context "north"`, exitUsage},
		{"__complete status --context s", "south\n", exitOK},
		{"__complete context use s", "south\n", exitOK},
		{"__complete status --format j", "json\n", exitOK},
	} {
		out, code := contextual(t, dir, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out, c.says) || c.says == "" && out != "" {
			t.Errorf("%s: %q (%d), want %q (%d)", c.args, out, code, c.says, c.code)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "limpetctl", "contexts.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v: %v", info.Mode(), err)
	}
	if all, err := os.ReadDir(filepath.Join(dir, "limpetctl")); err != nil || len(all) != 1 {
		t.Errorf("what is left: %v, %v", all, err)
	}
}

// The environment of limpetctl chooses a daemon; that of limpetd does not.
func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	for _, args := range []string{"context set north --api n:1", "context set south --api s:1", "context use north"} {
		if out, code := contextual(t, dir, strings.Fields(args)...); code != exitOK {
			t.Fatal(out)
		}
	}
	shows := func(want string) {
		t.Helper()
		if out, code := contextual(t, dir, "context", "show"); code != exitOK || out != "api  "+want+"\n" {
			t.Errorf("%q (%d), want %s", out, code, want)
		}
	}
	t.Setenv("LIMPETD_API", "wrong:1")
	shows("n:1")
	t.Setenv(envContext, "south")
	shows("s:1")
	t.Setenv(envAPI, "a:1")
	shows("a:1")
	if out, code := contextual(t, dir, "context", "show", "--context", "north"); code != exitOK || out != "api  n:1\n" {
		t.Errorf("a flag does not win: %q (%d)", out, code)
	}
}

// A file of contexts that cannot be believed is refused by name, with the way out.
func TestBadContexts(t *testing.T) {
	for _, c := range []struct {
		name, text, says string
		mode             os.FileMode
	}{
		{"no JSON", "{", "mend it or move it away", 0o600},
		{"others write it", `{"contexts":{"n":{"api":"n:1"}}}`, "chmod 600 it", 0o620},
		{"no address", `{"contexts":{"n":{}}}`, "limpetctl context remove n", 0o600},
		{"nothing", `{"contexts":{"n":null}}`, "limpetctl context remove n", 0o600},
		{"huge", strings.Repeat(" ", maxContexts+1), "is no file of contexts", 0o600},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "limpetctl", "contexts.json")
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		if out, code := contextual(t, dir, "status"); code != exitUsage || !strings.Contains(out, c.says) || !strings.Contains(out, file) {
			t.Errorf("%s: %q (%d)", c.name, out, code)
		}
	}
}
