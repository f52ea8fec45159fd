package membus_test

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
)

var (
	seed    = flag.Uint64("seed", 0, "first seed of the random stories; 0 takes one by chance")
	stories = flag.Int("stories", 100, "how many random stories")
)

// Random stories on this bus and on one that is slow and obviously right.
func TestRandomStoriesAgainstModel(t *testing.T) {
	first := *seed
	if first == 0 {
		first = rand.Uint64() >> 16
	}
	t.Logf("-seed %d -stories %d", first, *stories)
	bustest.Compare(t, first, *stories, newBus, func(testing.TB) kbusdev.Bus { return bustest.NewModel() })
}
