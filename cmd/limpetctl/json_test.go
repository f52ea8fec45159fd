package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is printed to testdata, as what is right")

// Every command prints JSON of one shape: a change of testdata/shapes is a change of what
// scripts read.
func TestJSON(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, args := range [][]string{
		{"context", "set", "north", "--api", "north:7001", "--tls-cert", "/c.pem", "--tls-key", "/c.key", "--tls-ca", "/ca.pem", "--tls-name", "north"},
		{"context", "set", "south", "--api", "/run/south.sock"},
		{"context", "use", "north"},
	} {
		var errOut bytes.Buffer
		if code := run(t.Context(), args, &errOut, &errOut); code != exitOK {
			t.Fatalf("%v: %s (%d)", args, &errOut, code)
		}
	}
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	var got strings.Builder
	for _, c := range []struct {
		args string
		code int
	}{
		{"status", exitOK},
		{"links", exitOK},
		{"drops", exitOK},
		{"drain", exitOK},
		{"bindings", exitOK},
		{"watch --once links", exitOK},
		{"watch --once bindings", exitOK},
		{"watch --once repliers $.Ask", exitOK},
		{"tap --data --count 4", exitOK},
		{"reload", exitOK},
		{"rules explain uid:0 $.A", exitOK},
		{"trace $.Ask", exitOK},
		{"send $.A", exitOK},
		{"call $.Ask", exitOK},
		{"call $.Gone", exitNoAnswer},
		{"call --all $.%", exitOK},
		{"listen --count 4 $.Ask", exitOK},
		{"reply --count 1 $.Ask yes", exitOK},
		{"events", exitOK},
		{"who --may $.A", exitOK},
		{"version --all", exitFailed},
		{"context list", exitOK},
		{"context show south", exitOK},
	} {
		t.Run(c.args, func(t *testing.T) {
			var out, errOut bytes.Buffer
			args := append([]string{"--json"}, strings.Fields(c.args)...)
			if !strings.HasPrefix(c.args, "context") {
				args = append([]string{"--api", api}, args...)
			}
			if code := run(t.Context(), args, &out, &errOut); code != c.code {
				t.Fatalf("it exits with %d: %s", code, &errOut)
			}
			if out.Len() == 0 {
				t.Fatal("it prints nothing")
			}
			for line := range strings.Lines(out.String()) {
				var object map[string]any
				if err := json.Unmarshal([]byte(line), &object); err != nil {
					t.Errorf("%q is no object: %v", line, err)
				}
			}
			got.WriteString("limpetctl " + c.args + " --json\n" + out.String() + "\n")
		})
	}
	file := filepath.Join("testdata", "shapes")
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the shapes are not those of %s (-update writes them, if they are right):\n%s", file, got.String())
	}
}

// Whatever it prints, check says how well all is in one line.
func TestCheckAsJSON(t *testing.T) {
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"check", "--json", "--api", api}, &out, &errOut)
	var got struct {
		Health   string
		Problems []string
		Lost     uint64
		Missed   uint64 `json:"api_missed"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || code != int(healthWarning) {
		t.Fatalf("%q (%d): %v", &out, code, err)
	}
	if got.Health != "warning" || len(got.Problems) != 1 || got.Lost != 1 || got.Missed != huge {
		t.Errorf("it says %+v", got)
	}
}

// The formats are chosen once, and what is no terminal gets data alone.
func TestFormats(t *testing.T) {
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"call $.Ask", "hello", exitOK},
		{"call --raw $.Ask", "hello", exitOK},
		{"call --format raw $.Ask", "hello", exitOK},
		{"call --format text $.Ask", "$.Ask reply id [0:12] in_reply_to [0:11] orig_from {7:4} from 2: \"hello\"\n", exitOK},
		{"call --raw --json $.Ask", "", exitUsage},
		{"call --json --format json $.Ask", "", exitUsage},
		{"call --format yaml $.Ask", "", exitUsage},
		{"call --all --to 2 $.Ask", "", exitUsage},
		{"call", "", exitUsage},
		{"nonsense", "", exitUsage},
		{"watch nonsense", "", exitUsage},
		{"rules nonsense", "", exitUsage},
		{"--nonsense", "", exitUsage},
	} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append([]string{"--api", api}, strings.Fields(c.args)...), &out, &errOut); code != c.code || out.String() != c.want {
			t.Errorf("%s: %q, %q (%d)", c.args, &out, &errOut, code)
		}
	}
}
