package faults

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var (
	oneSeed    = flag.Uint64("seed", 0, "play the schedule of this seed only")
	firstSeed  = flag.Uint64("first", 1, "the first seed of the schedules of programs")
	soakFor    = flag.Duration("soak", 10*time.Minute, "how long LIMPET_TEST=soak runs")
	soakRate   = flag.Int("soak-rate", 1000, "how many requests a second the soak asks")
	limpetdBin string // built from this tree
)

// asked reports whether LIMPET_TEST asks for the tests of this kind, "long" or "soak".
func asked(kind string) bool { return os.Getenv("LIMPET_TEST") == kind }

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(programVariable); ok {
		os.Exit(runProgram(text))
	}
	flag.Parse()
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	if dir := os.Getenv("LIMPET_BINARIES"); dir != "" { // where nothing can be built
		limpetdBin = filepath.Join(dir, "limpetd")
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "limpet-faults-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	limpetdBin = filepath.Join(dir, "limpetd")
	if out, err := exec.Command("go", "build", "-o", limpetdBin, "../../cmd/limpetd").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building limpetd: %w\n%s", err, out)
	}
	return m.Run(), nil
}
