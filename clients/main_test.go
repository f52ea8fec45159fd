package clients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/internal/built"
)

// patience bounds what a test waits for; it is much longer than anything takes.
const patience = time.Minute

// limpetd is the program, built from this tree.
var limpetd string

// long reports whether LIMPET_TEST=long asks for everything.
func long() bool { return os.Getenv("LIMPET_TEST") == "long" }

// clientLimit is longer than all that the tests of a client take.
const clientLimit = 10 * time.Minute

// runIn runs a program in the folder of a client, with limpetd to play with, and returns what
// it prints. It must succeed.
func runIn(t *testing.T, folder, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = folder
	bin, err := filepath.Abs(limpetd)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "LIMPETD="+bin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestMain(m *testing.M) {
	os.Exit(built.Run(m, func(folder string) { limpetd = filepath.Join(folder, "limpetd") }, "limpetd"))
}
