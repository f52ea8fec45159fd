package sim_test

import (
	"flag"
	"os"
	"testing"

	"github.com/kbus-limpet/limpet/limpet/sim"
)

var stills = flag.Uint64("stills", 0, "run so many networks in which messages are foretold; 0 is 40, or 1 000 with LIMPET_TEST=long")

// What is foretold of a message is what becomes of it when it is sent.
func TestForetoldIsWhatHappens(t *testing.T) {
	first, n := *first, *stills
	if n == 0 {
		if n = 40; os.Getenv("LIMPET_TEST") == "long" {
			n = 1000
		}
	}
	if *oneSeed != 0 {
		first, n = *oneSeed, 1
	}
	all := sim.StillStats{Reasons: make(map[string]int)}
	for seed := first; seed < first+n; seed++ {
		foretell(t, seed, &all)
	}
	t.Logf("seeds %d to %d: %+v", first, first+n-1, all)
	if *oneSeed == 0 && (all.Answered == 0 || all.Refused == 0 || all.Heard == 0) {
		t.Errorf("nothing of some kind happened: %+v", all)
	}
}

func foretell(t *testing.T, seed uint64, stats *sim.StillStats) {
	t.Helper()
	s := sim.NewStill(seed, nil)
	if *oneSeed != 0 && testing.Verbose() {
		s = sim.NewStill(seed, t.Output())
	}
	for _, wrong := range s.Run(stats) {
		t.Errorf("seed %d: %s", seed, wrong)
	}
}
