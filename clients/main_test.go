package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience bounds what a test waits for; it is much longer than anything takes.
const patience = time.Minute

// limpetd is the program, built from this tree.
var limpetd string

// long reports whether LIMPET_TEST=long asks for everything.
func long() bool { return os.Getenv("LIMPET_TEST") == "long" }

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	if dir := os.Getenv("LIMPET_BINARIES"); dir != "" { // where nothing can be built
		limpetd = filepath.Join(dir, "limpetd")
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "limpet-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	limpetd = filepath.Join(dir, "limpetd")
	if out, err := exec.Command("go", "build", "-o", limpetd, "../cmd/limpetd").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building limpetd: %w\n%s", err, out)
	}
	return m.Run(), nil
}
