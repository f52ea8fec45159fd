//go:build unix

package daemon_test

import (
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/daemon"
)

// What a tap costs an announcement of 64 bytes from one attached program to another, over a
// link between two daemons at full load, on the daemon that it leaves. It carries 100 000 at
// a time, by turns with and without a tap, and reports the medians of all turns, and how much
// dearer the median pair is, in the time of processors (programs, daemons, and who looks are
// in this process) and by the clock.
//
// "others" looks for other names; "default" is shown 5 000 messages a second, as without a
// rate, and their data; "all" is shown everything, and its data. "nobody" compares turns that
// are the same.
func BenchmarkTap(b *testing.B) {
	for _, c := range []struct {
		name string
		q    *pb.TapRequest
	}{
		{"nobody", nil},
		{"others", &pb.TapRequest{Names: []string{"$.Other.*"}}},
		{"default", &pb.TapRequest{MaxData: 64}},
		{"all", &pb.TapRequest{MaxRate: 1_000_000, MaxData: 64}},
	} {
		b.Run(c.name, func(b *testing.B) {
			at := unix(filepath.Join(b.TempDir(), "link"))
			from := start(b, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(at)}})
			to := start(b, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(at)}})
			if err := to.bus.WaitLinked(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
			const turn = 100_000
			carries := carrier(b, from.bus, to.bus)
			carries(turn)
			var turns [2][]cost
			var pairs [2][]float64 // how much dearer
			shown := 0
			b.ResetTimer()
			for i := range b.N {
				var pair [2]cost
				for _, tapped := range []bool{i%2 == 1, i%2 == 0} {
					ended := func() {}
					which := 0
					if tapped {
						which = 1
						ended = look(b, from.bus, c.q, &shown)
					}
					before := spent(b)
					carries(turn)
					pair[which] = spent(b).since(before, turn)
					ended()
				}
				for which := range turns {
					turns[which] = append(turns[which], pair[which])
				}
				pairs[0] = append(pairs[0], 100*(pair[1].cpu/pair[0].cpu-1))
				pairs[1] = append(pairs[1], 100*(pair[1].wall/pair[0].wall-1))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(each(turns[0], func(c cost) float64 { return c.cpu })), "cpu-ns/msg")
			b.ReportMetric(median(each(turns[1], func(c cost) float64 { return c.cpu })), "tapped-cpu-ns/msg")
			b.ReportMetric(median(pairs[0]), "cpu-%")
			b.ReportMetric(median(pairs[1]), "clock-%")
			b.ReportMetric(float64(shown)/float64(b.N*turn), "shown/msg")
		})
	}
}

// look taps a daemon until it is told to end; nil is nobody.
func look(b *testing.B, bus *client.Bus, q *pb.TapRequest, shown *int) (end func()) {
	if q == nil {
		return func() {}
	}
	x, err := bus.Tap(b.Context(), q)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := x.Recv(); err != nil { // it has begun
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			r, err := x.Recv()
			if err != nil {
				return
			}
			*shown += len(r.GetRecords())
		}
	}()
	return func() {
		x.Close()
		<-done
	}
}

// A cost is in nanoseconds.
type cost struct{ cpu, wall float64 }

func spent(b *testing.B) cost {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return cost{float64(u.Utime.Nano() + u.Stime.Nano()), float64(time.Now().UnixNano())}
}

func (c cost) since(o cost, n float64) cost { return cost{(c.cpu - o.cpu) / n, (c.wall - o.wall) / n} }

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func each[A, B any](all []A, f func(A) B) (out []B) {
	for _, a := range all {
		out = append(out, f(a))
	}
	return out
}
