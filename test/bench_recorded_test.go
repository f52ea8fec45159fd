package test

import (
	"path/filepath"
	"testing"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// What it costs to record decisions, at both ends of a link between two daemons in this
// process: messages one way, and round trips.
//
//	go test ./test -run '^$' -bench Recorded -benchtime 1s -count 5 -cpu 2
func BenchmarkRecorded(b *testing.B) {
	for _, work := range []struct {
		name string
		size int // 0 is round trips
	}{{"64B", 64}, {"1KiB", 1 << 10}, {"64KiB", 64 << 10}, {"round-trip", 0}} {
		for _, kind := range []struct {
			name     string
			on, data bool
		}{{name: "off"}, {name: "on", on: true}, {name: "data", on: true, data: true}} {
			b.Run(work.name+"/"+kind.name, func(b *testing.B) {
				dir := b.TempDir()
				at := func(name string) sockaddr.Address {
					return sockaddr.Address{Network: "unix", Address: filepath.Join(dir, name)}
				}
				one, two, link := at("1"), at("2"), at("link")
				x := daemon.Config{Bus: daemon.Embedded, NetworkID: 1, API: &one, Links: []daemon.LinkConfig{daemon.Accept(link)}}
				y := daemon.Config{Bus: daemon.Embedded, NetworkID: 2, API: &two, Links: []daemon.LinkConfig{daemon.Dial(link)}}
				if kind.on {
					x.Records = daemon.Records{Dir: b.TempDir(), Bytes: 256 << 20, Data: kind.data}
					y.Records = daemon.Records{Dir: b.TempDir(), Bytes: 256 << 20, Data: kind.data}
				}
				from, to := run(b, x), run(b, y)
				from.waitUp(b, 1)
				to.waitUp(b, 1)
				trip := func() {}
				if work.size == 0 {
					trip = busEcho(b, from.bus, to.bus, "$.Ask")
				}
				b.ReportAllocs()
				b.ResetTimer()
				before := ownCPU(b)
				if work.size == 0 {
					roundTrips(b, trip)
				} else {
					oneWayBetween(b, from, to, work.size)
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
				}
				b.ReportMetric(float64((ownCPU(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
			})
		}
	}
}
