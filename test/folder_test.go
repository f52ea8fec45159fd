package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The default API is in no folder that another user can write: the daemon does not
// offer it there, and limpetctl does not ask there.
func TestDefaultAPIFolder(t *testing.T) {
	runtime := t.TempDir()
	dir := filepath.Join(runtime, "limpetd")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"limpetd", "--bus", "embedded"}, {"limpetctl", "status"}} {
		cmd := exec.CommandContext(within(t), filepath.Join(binaries, words[0]), words[1:]...)
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+runtime)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), dir+" is writable by others (mode 0777") {
			t.Errorf("%v exits with %d and says %s", words, code, out)
		}
	}
	cmd := exec.CommandContext(within(t), filepath.Join(binaries, "limpetctl"), "status", "--api", filepath.Join(dir, "api.sock"), "--timeout", "1s")
	if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), "no limpetd answers at") {
		t.Errorf("an address of the user's own choice: %s", out)
	}
}
