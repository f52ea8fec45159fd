package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var consoleBlock = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

// Every example of docs/limpetctl.md does what stands there. A block is one shell; "..."
// stands for anything, and for digits that differ.
func TestLimpetctlExamples(t *testing.T) {
	beside(t)
	for _, tool := range []string{"bash", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s", tool)
		}
	}
	if testing.Short() {
		t.Skip("it starts some eighty programs")
	}
	text, err := os.ReadFile("../docs/limpetctl.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := consoleBlock.FindAllSubmatch(text, -1)
	if len(blocks) < 8 {
		t.Fatalf("there are %d examples", len(blocks))
	}
	dir := t.TempDir()
	api := filepath.Join(dir, "limpetd", "api.sock")
	if err := os.Mkdir(filepath.Dir(api), 0o700); err != nil {
		t.Fatal(err)
	}
	startLimpetdAt(t, filepath.Join(binaries, "limpetd"), api, 1)
	for i, block := range blocks {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			script, want := scriptOf(string(block[1]))
			cmd := exec.CommandContext(within(t), "bash", "-c", script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+binaries+":"+os.Getenv("PATH"), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_RUNTIME_DIR="+dir)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("the shell ends with %v", err)
			}
			if !want.MatchString(out.String()) {
				t.Errorf("%s\nprints\n%s\nwhich is not like\n%s", script, &out, want)
			}
		})
	}
}

// scriptOf returns the commands of an example as a script, and what it must print. What is
// started in the background has bound its name before the script goes on.
func scriptOf(block string) (string, *regexp.Regexp) {
	var script, want strings.Builder
	script.WriteString("trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null' EXIT\n")
	want.WriteString("^")
	for line := range strings.Lines(block) {
		command, is := strings.CutPrefix(line, "$ ")
		switch {
		case !is:
			want.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, `.*`))
		case strings.HasSuffix(command, "&\n"):
			script.WriteString("before=$(limpetctl bindings | wc -l)\n" + command + "until [ $(limpetctl bindings | wc -l) -gt $before ]; do sleep 0.01; done\n")
		default:
			script.WriteString(command)
		}
	}
	script.WriteString("true\n")
	want.WriteString("$")
	return script.String(), regexp.MustCompile(want.String())
}
