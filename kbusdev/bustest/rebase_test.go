package bustest_test

import (
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// All recordings on one bus, one after the other.
func TestGoldenOnOneBus(t *testing.T) {
	files := bustest.Files(t, "testdata", "bus-*.jsonl.gz")
	for _, opts := range [][]bustest.Option{nil, {bustest.Whole()}} {
		bus := membus.New(membus.WithLayout(kbusdev.LittleEndian64))
		bustest.Replay(t, files, func(testing.TB) kbusdev.Bus { return bus }, append(opts, bustest.OnOneBus())...)
	}
}
