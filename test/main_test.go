package test

import (
	"os"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/internal/built"
)

// patience bounds what a test waits for. It is much longer than anything takes, also on a
// busy machine: it ends a test that would hang.
const patience = time.Minute

// binaries is the folder with the programs, built from this tree.
var binaries string

// long reports whether LIMPET_TEST=long asks for every story: without it the tests
// that take minutes play a part of theirs.
func long() bool { return os.Getenv("LIMPET_TEST") == "long" }

// beside lets a test whose processes, folders and devices are its own run beside others of
// its kind. Devices in /dev are not: they are numbered for all. A test that counts on what
// closing its Ksocks of a device does is not: a process that another test starts has a copy
// of them for a moment, and they close a moment later.
func beside(t *testing.T) {
	t.Helper()
	if os.Getenv("KBUSD_DIR") == "" {
		t.Parallel()
	}
}

func TestMain(m *testing.M) {
	makeAttack()
	os.Exit(built.Run(m, func(folder string) { binaries = folder }, "limpetd", "limpetctl", "kbusd"))
}
