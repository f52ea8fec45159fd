package test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kbus-limpet/limpet/internal/leaks"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/pairtest"
)

// The recordings of real limpets, over real gRPC.
func TestGoldenPairOverGRPC(t *testing.T) { goldenPairs(t, "") }

// The same over the protocol that they spoke when they were recorded.
func TestGoldenPairOverClassic(t *testing.T) { goldenPairs(t, "classic-") }

func goldenPairs(t *testing.T, protocol string) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			share := 1
			if network == "tcp" && !long() {
				share = 5
			}
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { leaks.Verify(t, before) }) // when the parallel stories have ended
			pairtest.Replay(t, bustest.Files(t, "../limpet/testdata", "pair-*.jsonl.gz"), func(t *testing.T, ids map[string]uint32) *pairtest.Pair {
				t.Parallel()
				// Upstream's limpets send everything.
				b := start(t, ids["b"], limpet.Config{AllInterest: true}, protocol+network)
				a := start(t, ids["a"], limpet.Config{AllInterest: true}, protocol, b.peer)
				a.waitUp(t, 1)
				b.waitUp(t, 1)
				return &pairtest.Pair{
					Buses:  map[string]kbusdev.Bus{"a": a.bus, "b": b.bus},
					Settle: func() { settle(t, a, b) },
				}
			}, pairtest.OneIn(share))
		})
	}
}
