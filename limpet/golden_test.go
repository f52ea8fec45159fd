package limpet_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/test/bufconn"

	"github.com/kbus-limpet/limpet/internal/dropcheck"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/classic"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/pairtest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// join links two nodes over a pipe in memory, until the test ends.
func join(t *testing.T, a, b *limpet.Node, cfg limpet.Config) {
	t.Helper()
	sa, sb := pipe()
	serveBoth(t, a, b, cfg, false,
		func(ctx context.Context, p *limpet.Peering) error { return p.Dial(ctx, sa, nil) },
		func(ctx context.Context) error { return b.Accept(ctx, sb, cfg) })
}

// serveBoth runs both ends of a link until the test ends.
func serveBoth(t *testing.T, a, b *limpet.Node, cfg limpet.Config, classic bool, dial func(context.Context, *limpet.Peering) error, accept func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	dialled := a.NewDialled(fmt.Sprintf("dial %d", b.NetworkID()), cfg, classic)
	go func() { done <- dial(ctx, dialled) }()
	go func() { done <- accept(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			<-done
		}
	})
}

// socket makes a connection in memory. As with one of the kernel's, a write need not
// wait for who reads.
func socket(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l := bufconn.Listen(64 << 10)
	defer l.Close()
	dialled := make(chan net.Conn, 1)
	go func() { c, _ := l.Dial(); dialled <- c }()
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return <-dialled, there
}

// joinClassic links them over the old protocol.
func joinClassic(t *testing.T, a, b *limpet.Node, cfg limpet.Config) {
	t.Helper()
	ca, cb := socket(t)
	serveBoth(t, a, b, cfg, true,
		func(ctx context.Context, p *limpet.Peering) error { return p.Dial(ctx, oldStream(ca), nil) },
		func(ctx context.Context) error { return b.AcceptClassic(ctx, oldStream(cb), cfg) })
}

func oldStream(conn net.Conn) link.Stream {
	return classic.NewStream(conn, kbusdev.AbsoluteMaxMessageSize)
}

// node makes a node that is closed when the test ends. What it tells of drops must be what it
// counts.
func node(t testing.TB, bus kbusdev.Bus, id uint32) *limpet.Node {
	t.Helper()
	n, err := limpet.NewNode(bus, id, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // without a drain
		n.Close(ctx, "the test is over")
		if err := dropcheck.Links(n); err != nil {
			t.Error(err)
		}
	})
	return n
}

// The recordings of real limpets, over a stream in memory: virtual time tells
// exactly when the pair has settled.
func TestGoldenPairInMemory(t *testing.T) { goldenPairs(t, join) }

// The same over the protocol that they spoke when they were recorded.
func TestGoldenPairInMemoryClassic(t *testing.T) { goldenPairs(t, joinClassic) }

// The same with one limpet that is none of ours; see oldLimpet.
func TestGoldenPairWithAnOldLimpet(t *testing.T) {
	t.Run("dialled by us", func(t *testing.T) {
		goldenPairs(t, func(t *testing.T, a, b *limpet.Node, cfg limpet.Config) {
			joinOld(t, a, b, func(ctx context.Context, n *limpet.Node, conn net.Conn) error {
				return n.NewDialled("old", cfg, true).Dial(ctx, oldStream(conn), nil)
			})
		})
	})
	t.Run("accepted by us", func(t *testing.T) {
		goldenPairs(t, func(t *testing.T, a, b *limpet.Node, cfg limpet.Config) {
			joinOld(t, b, a, func(ctx context.Context, n *limpet.Node, conn net.Conn) error {
				return n.AcceptClassic(ctx, oldStream(conn), cfg)
			})
		})
	})
}

func goldenPairs(t *testing.T, join func(t *testing.T, a, b *limpet.Node, cfg limpet.Config)) {
	t.Helper()
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
