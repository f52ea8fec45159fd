package test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/server"
)

// A daemon is what limpetd puts together, in this process.
type daemon struct {
	bus  *membus.Bus
	node *limpet.Node
	peer sockaddr.Address // where it accepts links, if it does
	api  string
	stop func()
}

// start runs a daemon until the test ends. It accepts links on listen ("tcp",
// "unix", either of them with "classic-" before it, or "" for none) and dials
// connect, with the same protocol.
func start(tb testing.TB, id uint32, cfg limpet.Config, listen string, connect ...sockaddr.Address) *daemon {
	tb.Helper()
	d := &daemon{bus: membus.New()}
	var err error
	if d.node, err = limpet.NewNode(d.bus, id, slog.New(slog.DiscardHandler)); err != nil {
		tb.Fatal(err)
	}
	srv, err := server.New(server.Config{Node: d.node, Limpet: cfg, Version: "test"})
	if err != nil {
		tb.Fatal(err)
	}
	network, old := strings.CutPrefix(listen, "classic-")
	dir := tb.TempDir()
	var peers, classic []net.Listener
	switch network {
	case "tcp":
		peers = append(peers, listenOn(tb, sockaddr.Address{Network: "tcp", Address: "127.0.0.1:0"}))
	case "unix":
		peers = append(peers, listenOn(tb, sockaddr.Address{Network: "unix", Address: filepath.Join(dir, "link")}))
	}
	if old {
		peers, classic = nil, peers
	}
	for _, l := range append(peers, classic...) {
		d.peer = sockaddr.Address{Network: l.Addr().Network(), Address: l.Addr().String()}
	}
	d.api = filepath.Join(dir, "api")
	api := listenOn(tb, sockaddr.Address{Network: "unix", Address: d.api})

	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := srv.Run(ctx, server.Listeners{Peers: peers, Classic: classic, API: []net.Listener{api}}); err != nil {
			tb.Errorf("server: %v", err)
		}
	})
	for _, addr := range connect {
		all.Go(func() {
			if err := (&client.Link{Node: d.node, Address: addr, Classic: old, Limpet: cfg}).Run(ctx); err != nil {
				tb.Errorf("link: %v", err)
			}
		})
	}
	d.stop = sync.OnceFunc(func() { cancel(); all.Wait() })
	tb.Cleanup(d.stop)
	return d
}

func listenOn(tb testing.TB, addr sockaddr.Address) net.Listener {
	tb.Helper()
	l, err := sockaddr.Listen(context.Background(), addr, sockaddr.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// waitUp waits until n of the daemon's links are up.
func (d *daemon) waitUp(tb testing.TB, n int) {
	tb.Helper()
	limit := time.After(10 * time.Second)
	for {
		changed := d.node.Changed()
		up := 0
		for _, l := range d.node.Links() {
			if l.Status().IsServed && l.Status().State == limpet.Up {
				up++
			}
		}
		if up >= n {
			return
		}
		select {
		case <-changed:
		case <-limit:
			tb.Fatalf("network %d: %d of %d links are up", d.node.NetworkID(), up, n)
		}
	}
}

// settle waits until every limpet of these daemons has nothing left to do: all that
// the buses gave them has been carried and taken.
func settle(tb testing.TB, daemons ...*daemon) {
	tb.Helper()
	limit := time.After(20 * time.Second)
	look := time.NewTicker(200 * time.Microsecond)
	defer look.Stop()
	for last := uint64(0); ; {
		// The same counts twice, each time at rest, mean that nothing was under way
		// from one limpet to the next in between.
		work, rest := uint64(1), true
		underWay := uint64(0) // over a protocol without acks only both ends can tell
		for _, d := range daemons {
			taken := make(map[uint32]uint64)
			for _, s := range d.bus.Stats() {
				taken[uint32(s.ID)] = s.Taken
			}
			for _, l := range d.node.Links() {
				st := l.Status()
				if !st.IsServed {
					continue
				}
				c := st.Counts
				work += c.FromBus + c.FromPeer
				underWay += c.ToPeer - c.FromPeer
				rest = rest && taken[st.Ksock] == c.FromBus && c.Queued == 0 && c.Busy == 0 && c.FromBusInFlight == 0 && c.FromPeerInFlight == 0
			}
		}
		rest = rest && underWay == 0
		if rest && work == last {
			return
		}
		last = 0
		if rest {
			last = work
		}
		select {
		case <-look.C:
		case <-limit:
			for _, d := range daemons {
				for _, l := range d.node.Links() {
					tb.Logf("network %d: %+v", d.node.NetworkID(), l.Status())
				}
			}
			tb.Fatal("the daemons do not come to rest")
		}
	}
}
