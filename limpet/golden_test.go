package limpet_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/pairtest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// join links two nodes over a pipe in memory, until the test ends.
func join(t *testing.T, a, b *limpet.Node, cfg limpet.Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	sa, sb := pipe()
	done := make(chan error, 2)
	la, lb := a.NewLink("dial"), b.NewLink("accept")
	go func() { done <- limpet.Dial(ctx, la, sa, limpet.NewLinkID(), cfg, nil) }()
	go func() { done <- limpet.Accept(ctx, lb, sb, cfg) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			<-done
		}
	})
}

func node(t testing.TB, bus kbusdev.Bus, id uint32) *limpet.Node {
	t.Helper()
	n, err := limpet.NewNode(bus, id, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The recordings of real limpets, over a stream in memory: virtual time tells
// exactly when the pair has settled.
func TestGoldenPairInMemory(t *testing.T) {
	total, same := 0, 0
	for _, file := range bustest.Files(t, "testdata", "pair-*.jsonl.gz") {
		for _, s := range bustest.Load[pairtest.Story](t, file) {
			total++
			if t.Run(s.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, b := membus.New(), membus.New()
					join(t, node(t, a, s.NetworkIDs["a"]), node(t, b, s.NetworkIDs["b"]), limpet.Config{})
					pairtest.Play(t, &s, &pairtest.Pair{
						Buses:  map[string]kbusdev.Bus{"a": a, "b": b},
						Settle: synctest.Wait,
					})
				})
			}) {
				same++
			}
		}
	}
	t.Logf("pair stories: %d/%d", same, total)
}
