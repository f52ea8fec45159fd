// Package tracing gives the spans of a daemon to an OpenTelemetry collector, over OTLP.
//
// Whoever has a span never waits: spans are queued, and dropped and counted when the queue is
// full, because the collector is away or slow. One goroutine makes them OpenTelemetry's and
// sends them.
package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/kbus-limpet/limpet/limpet/trace"
)

// Bounds of what waits, and of the waiting.
const (
	maxQueued  = 4096 // spans of each of the two sorts
	maxBatch   = 512
	flushAfter = 200 * time.Millisecond
	sendWithin = 10 * time.Second
	lastWithin = 2 * time.Second // at the end
)

// Config is what an Exporter is made with.
type Config struct {
	// Endpoint is the collector: "http://HOST:PORT", or "https://HOST:PORT" with TLS. See
	// CheckEndpoint.
	Endpoint string
	// Share of what carries no trace context is traced, from 0 to 1.
	Share float64
	// Version and Instance are the daemon's, Network is that of its bus.
	Version, Instance string
	Network           uint32
	// Log is told when spans begin to be lost, and when that is over.
	Log *slog.Logger
}

// An Exporter sends spans to a collector while Run runs. It is safe for concurrent use.
type Exporter struct {
	cfg      Config
	client   *otlptrace.Exporter
	resource *resource.Resource
	hops     chan *trace.Span
	calls    chan sdk.ReadOnlySpan
	lost     atomic.Uint64
	provider *sdk.TracerProvider // of calls
}

// New returns an exporter. Nothing is dialled before there is a span. What the environment
// says in OTEL_EXPORTER_OTLP_* holds for what is not in cfg, such as headers and
// certificates, and OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES describe the daemon.
func New(ctx context.Context, cfg Config) (*Exporter, error) {
	client, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(cfg.Endpoint), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "limpetd"),
		attribute.String("service.version", cfg.Version),
		attribute.String("service.instance.id", cfg.Instance),
		attribute.Int64("kbus.network_id", int64(cfg.Network)),
	), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { cfg.Log.Debug("OpenTelemetry has a complaint", "error", err) })) // else it goes to standard error
	e := &Exporter{
		cfg:      cfg,
		client:   client,
		resource: about,
		hops:     make(chan *trace.Span, maxQueued),
		calls:    make(chan sdk.ReadOnlySpan, maxQueued),
	}
	e.provider = sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithSpanProcessor(onEnd(e.call)), sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(cfg.Share))))
	return e, nil
}

// Lost returns how many spans have not reached the collector.
func (e *Exporter) Lost() uint64 { return e.lost.Load() }

// Hop queues the span of a request at one end of a link. It does not wait.
func (e *Exporter) Hop(s *trace.Span) {
	select {
	case e.hops <- s:
	default:
		e.lost.Add(1)
	}
}

// call queues the span of a call.
func (e *Exporter) call(s sdk.ReadOnlySpan) {
	select {
	case e.calls <- s:
	default:
		e.lost.Add(1)
	}
}

// Run sends what is queued, until ctx ends; then it tries once more, for 2 s.
func (e *Exporter) Run(ctx context.Context) {
	w := newWorker(e)
	due := time.NewTimer(0)
	defer due.Stop()
	for ctx.Err() == nil {
		empty := len(w.batch) == 0
		select {
		case s := <-e.hops:
			w.hop(s)
		case s := <-e.calls:
			w.batch = append(w.batch, s)
		case <-due.C:
			w.send(ctx)
		case <-ctx.Done():
		}
		switch {
		case len(w.batch) >= maxBatch:
			w.send(ctx)
		case empty && len(w.batch) > 0:
			due.Reset(flushAfter)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWithin)
	defer cancel()
	w.rest(last)
	_ = e.provider.Shutdown(last) // which has nothing left
	_ = e.client.Shutdown(last)
}
