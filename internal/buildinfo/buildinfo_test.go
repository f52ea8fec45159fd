package buildinfo

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestRead(t *testing.T) {
	commit := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.4-0.20261126000000-0123456789ab"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.time", Value: "2026-11-26T00:00:00Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	for _, x := range []struct {
		linker string
		info   *debug.BuildInfo
		want   string
	}{
		{"", nil, "(devel) ("},
		{"v1.2.3", nil, "v1.2.3 ("},
		{"", &debug.BuildInfo{}, "(devel) ("},
		{"", &debug.BuildInfo{Main: debug.Module{Version: "v1.0.0"}}, "v1.0.0 (go"},
		{"", commit, "v1.2.4-0.20261126000000-0123456789ab (commit 0123456789ab and changes, go"},
		{"v1.2.3", commit, "v1.2.3 (commit 0123456789ab and changes, go"},
		{"v1.2.3", &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "01"}}}, "v1.2.3 (commit 01, go"},
	} {
		if got := read(x.linker, x.info).String(); !strings.HasPrefix(got, x.want) {
			t.Errorf("linker %q, %v: %q, want %q", x.linker, x.info, got, x.want)
		}
	}
}

func TestCommand(t *testing.T) {
	own := false // whether the program has a flag --json of its own
	run := func(args ...string) string {
		t.Helper()
		root := &cobra.Command{Use: "program", RunE: func(*cobra.Command, []string) error { return nil }}
		if own {
			root.PersistentFlags().Bool("json", false, "")
		}
		AddTo(root)
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(args)
		if err := root.Execute(); err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		return out.String()
	}
	want := "program " + Read().String() + "\n"
	for _, word := range []string{"version", "--version"} {
		if got := run(word); got != want {
			t.Errorf("%s prints %q, want %q", word, got, want)
		}
	}
	for _, own = range []bool{false, true} {
		var info Info
		if err := json.Unmarshal([]byte(run("version", "--json")), &info); err != nil || info != Read() {
			t.Errorf("as JSON: %+v, %v", info, err)
		}
	}
}
