package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience bounds what a test waits for. It is much longer than anything takes, also on a
// busy machine: it ends a test that would hang.
const patience = time.Minute

// binaries is the folder with the programs, built from this tree.
var binaries string

// long reports whether LIMPET_TEST=long asks for every story: without it the tests
// that take minutes play a part of theirs.
func long() bool { return os.Getenv("LIMPET_TEST") == "long" }

func TestMain(m *testing.M) {
	makeAttack()
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	if binaries = os.Getenv("LIMPET_BINARIES"); binaries != "" { // where nothing can be built
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "limpet-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../cmd/...")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	binaries = dir
	return m.Run(), nil
}
