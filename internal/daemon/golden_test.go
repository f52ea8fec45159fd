package daemon_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/leaks"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/pairtest"
)

// The recordings of real limpets, over real gRPC.
func TestGoldenPairOverGRPC(t *testing.T) { goldenPairs(t, false) }

// The same over the protocol that they spoke when they were recorded.
func TestGoldenPairOverClassic(t *testing.T) { goldenPairs(t, true) }

func goldenPairs(t *testing.T, classic bool) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			share := 1
			if network == "tcp" && os.Getenv("LIMPET_TEST") != "long" {
				share = 5
			}
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { leaks.Verify(t, before) }) // when the parallel stories have ended
			pairtest.Replay(t, bustest.Files(t, "../../limpet/testdata", "pair-*.jsonl.gz"), func(t *testing.T, ids map[string]uint32) *pairtest.Pair {
				t.Parallel()
				at := sockaddr.Address{Network: "tcp", Address: "127.0.0.1:0"}
				if network == "unix" {
					at = unix(filepath.Join(t.TempDir(), "link"))
				}
				b := startRecorded(t, ids["b"], daemon.LinkConfig{Address: at, Listen: true, Classic: classic})
				peer := b.PeerAddrs()[0]
				a := startRecorded(t, ids["a"], daemon.LinkConfig{Address: sockaddr.Address{Network: network, Address: peer.String()}, Classic: classic})
				a.wait(limpet.Up)
				b.wait(limpet.Up)
				return &pairtest.Pair{
					Buses:  map[string]kbusdev.Bus{"a": a.Node().Bus(), "b": b.Node().Bus()},
					Settle: func() { settle(t, a, b) },
				}
			}, pairtest.OneIn(share))
		})
	}
}

// startRecorded runs a daemon that numbers messages as the real bus did, and as upstream's
// limpets sends everything.
func startRecorded(t *testing.T, id uint32, link daemon.LinkConfig) *running {
	t.Helper()
	return start(t, daemon.Config{FirstSerial: 1, NetworkID: id, Limpet: limpet.Config{AllInterest: true}, Links: []daemon.LinkConfig{link}})
}

// settle waits until every limpet of these daemons has nothing left to do: all that
// the buses gave them has been carried and taken.
func settle(t *testing.T, daemons ...*running) {
	t.Helper()
	limit := time.After(time.Minute)
	look := time.NewTicker(200 * time.Microsecond)
	defer look.Stop()
	for last := uint64(0); ; {
		// The same counts twice, each time at rest, mean that nothing was under way
		// from one limpet to the next in between.
		work, rest := uint64(1), true
		underWay := uint64(0) // over a protocol without acks only both ends can tell
		for _, d := range daemons {
			taken := make(map[kbusdev.KsockID]uint64)
			for _, s := range d.Node().Bus().(*membus.Bus).Stats() {
				taken[s.ID] = s.Taken
			}
			for _, l := range d.Node().Peerings() {
				st := l.Status()
				if st.Ksock == 0 {
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
				for _, l := range d.Node().Peerings() {
					t.Logf("network %d: %+v", d.Node().NetworkID(), l.Status())
				}
			}
			t.Fatal("the daemons do not come to rest")
		}
	}
}
