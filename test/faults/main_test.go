package faults

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/internal/built"
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
	os.Exit(built.Run(m, func(folder string) { limpetdBin = filepath.Join(folder, "limpetd") }, "limpetd"))
}
