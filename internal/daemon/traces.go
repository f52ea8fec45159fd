package daemon

import (
	"context"
	"fmt"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/internal/tracing"
)

// Traces say where spans of requests go.
type Traces struct {
	// Endpoint is an OpenTelemetry collector that speaks OTLP over gRPC: "http://HOST:PORT"
	// or, with TLS, "https://HOST:PORT"; "" traces nothing.
	Endpoint string
	// Sample is the share of the requests that is traced of those that come without a trace
	// context, from 0 to 1.
	Sample float64
}

func (c *Config) checkTraces() error {
	t := &c.Traces
	if !(t.Sample >= 0 && t.Sample <= 1) { // which NaN is not either
		return &ConfigError{"trace-sample", fmt.Errorf("%v is not between 0 and 1", t.Sample)}
	}
	if t.Endpoint == "" {
		return nil
	}
	at, encrypted, err := tracing.CheckEndpoint(t.Endpoint)
	if err != nil {
		return &ConfigError{"trace-endpoint", err}
	}
	if a := (sockaddr.Address{Network: "tcp", Address: at}); !encrypted && !a.IsLocal() && !c.Insecure {
		return &ConfigError{"trace-endpoint", fmt.Errorf("%s leads to another machine, and the names of messages would go there without TLS; give https://, a collector on a loopback address such as localhost, or --insecure on a network that you trust", t.Endpoint)}
	}
	return nil
}

// openTraces has requests and calls traced, if that is wanted.
func (d *Daemon) openTraces(ctx context.Context) (err error) {
	t := d.cfg.Traces
	if t.Endpoint == "" {
		return nil
	}
	d.traces, err = tracing.New(ctx, tracing.Config{
		Endpoint: t.Endpoint, Share: t.Sample, Version: d.cfg.Version, Instance: d.node.Instance().String(), Network: d.cfg.NetworkID, Log: d.cfg.Log,
	})
	if err != nil {
		return &ConfigError{"trace-endpoint", err}
	}
	d.node.Trace(t.Sample, d.traces.Hop)
	d.programs.TraceOf = tracing.ContextOf
	d.tracesOption = append(d.tracesOption, d.traces.ServerOption(&pb.BusService_ServiceDesc))
	return nil
}

// runTraces sends spans until the function that it returns is called, which waits until the
// last have been sent, 2 s at most.
func (d *Daemon) runTraces() (stop func()) {
	if d.traces == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); d.traces.Run(ctx) }()
	return func() { cancel(); <-done }
}

// spansLost returns how many spans have not reached the collector.
func (d *Daemon) spansLost() uint64 {
	if d.traces == nil {
		return 0
	}
	return d.traces.Lost()
}
