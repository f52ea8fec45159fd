package test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// takesAll is a collector that looks at nothing.
type takesAll struct {
	collector.UnimplementedTraceServiceServer
}

func (takesAll) Export(context.Context, *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	return new(collector.ExportTraceServiceResponse), nil
}

// What it costs to trace requests, and to have the flight recorder on: round trips over a link
// between two daemons in this process, with the collector in it too.
//
//	go test ./test -run '^$' -bench Observed -benchtime 1s -cpu 2
func BenchmarkObserved(b *testing.B) {
	at := listenOn(b, sockaddr.Address{Network: "tcp", Address: "127.0.0.1:0"})
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, takesAll{})
	go func() { _ = server.Serve(at) }()
	b.Cleanup(server.Stop)
	endpoint := "http://" + at.Addr().String()
	for _, kind := range []struct {
		name   string
		traces daemon.Traces
		flight bool
	}{
		{name: "plain"},
		{name: "flight", flight: true},
		{name: "trace/none", traces: daemon.Traces{Endpoint: endpoint}},
		{name: "trace/1%", traces: daemon.Traces{Endpoint: endpoint, Sample: 0.01}},
		{name: "trace/all", traces: daemon.Traces{Endpoint: endpoint, Sample: 1}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			dir := b.TempDir()
			at := func(name string) sockaddr.Address {
				return sockaddr.Address{Network: "unix", Address: filepath.Join(dir, name)}
			}
			one, two, link := at("1"), at("2"), at("link")
			cfg := daemon.Config{Bus: daemon.Embedded, Traces: kind.traces}
			x, y := cfg, cfg
			x.NetworkID, x.API, x.Links = 1, &one, []daemon.LinkConfig{daemon.Accept(link)}
			y.NetworkID, y.API, y.Links = 2, &two, []daemon.LinkConfig{daemon.Dial(link)}
			if kind.flight { // there is one in a process
				x.FlightDir, x.StuckAfter = dir, time.Minute
			}
			from, to := run(b, x), run(b, y)
			from.waitUp(b, 1)
			trip := busEcho(b, from.bus, to.bus, "$.Ask")
			b.ReportAllocs()
			b.ResetTimer()
			before := ownCPU(b)
			roundTrips(b, trip)
			b.ReportMetric(float64((ownCPU(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
		})
	}
}
