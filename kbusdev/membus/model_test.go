package membus_test

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
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

// The same with so small a bound in bytes that it decides as often as the one in
// messages does.
func TestRandomStoriesWithFewBytes(t *testing.T) {
	first := *seed
	if first == 0 {
		first = rand.Uint64() >> 16
	}
	t.Logf("-seed %d -stories %d", first, *stories)
	compareWithFewBytes(t, first, *stories)
}

// Stories that once showed a difference.
func TestStoriesThatDiffered(t *testing.T) {
	compareWithFewBytes(t, 84670386837466, 1) // a bind event counted its name only
}

func compareWithFewBytes(t *testing.T, first uint64, stories int) {
	t.Helper()
	bustest.Compare(t, first, stories, func(testing.TB) kbusdev.Bus {
		return membus.New(membus.WithLayout(kbusdev.LittleEndian64), membus.WithMaxBytes(30))
	}, func(testing.TB) kbusdev.Bus {
		model := bustest.NewModel()
		model.MaxBytes = 30
		return model
	})
}
