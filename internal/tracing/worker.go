package tracing

import (
	"context"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kbus-limpet/limpet/limpet/trace"
)

// A worker has the batch that is sent next. It is one goroutine's.
type worker struct {
	*Exporter
	tracer  oteltrace.Tracer
	batch   []sdk.ReadOnlySpan
	failing bool
	said    uint64 // how many were lost when it was last said
}

func newWorker(e *Exporter) *worker {
	w := &worker{Exporter: e}
	hops := sdk.NewTracerProvider(sdk.WithResource(e.resource), sdk.WithIDGenerator(given{}), sdk.WithSampler(sdk.AlwaysSample()),
		sdk.WithSpanProcessor(onEnd(func(s sdk.ReadOnlySpan) { w.batch = append(w.batch, s) })))
	w.tracer = hops.Tracer("github.com/kbus-limpet/limpet")
	return w
}

// send sends the batch. What cannot be sent is lost, which is said when it begins and ends.
func (w *worker) send(ctx context.Context) {
	if len(w.batch) > 0 {
		ctx, cancel := context.WithTimeout(ctx, sendWithin)
		err := w.client.ExportSpans(ctx, w.batch)
		cancel()
		if err != nil {
			w.lost.Add(uint64(len(w.batch)))
			if !w.failing {
				w.cfg.Log.Warn("trace spans are lost", "endpoint", w.cfg.Endpoint, "error", err)
			}
		}
		w.failing = err != nil
		clear(w.batch)
		w.batch = w.batch[:0]
	}
	if lost := w.lost.Load(); lost > w.said && !w.failing {
		w.said = lost
		w.cfg.Log.Warn("trace spans were lost", "endpoint", w.cfg.Endpoint, "lost", lost)
	}
}

// rest sends what is left.
func (w *worker) rest(ctx context.Context) {
	for {
		select {
		case s := <-w.hops:
			w.hop(s)
		case s := <-w.calls:
			w.batch = append(w.batch, s)
		default:
			w.send(ctx)
			return
		}
		if len(w.batch) >= maxBatch {
			w.send(ctx)
		}
	}
}

// onEnd is a processor that only wants spans that have ended.
type onEnd func(sdk.ReadOnlySpan)

func (onEnd) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (f onEnd) OnEnd(s sdk.ReadOnlySpan)                 { f(s) }
func (onEnd) Shutdown(context.Context) error             { return nil }
func (onEnd) ForceFlush(context.Context) error           { return nil }

// given makes the ids that a hop has already.
type given struct{}

type hopKey struct{}

func (given) NewIDs(ctx context.Context) (oteltrace.TraceID, oteltrace.SpanID) {
	s := ctx.Value(hopKey{}).(*trace.Span)
	return s.Context.TraceID, s.Context.SpanID
}

func (g given) NewSpanID(ctx context.Context, _ oteltrace.TraceID) oteltrace.SpanID {
	_, span := g.NewIDs(ctx)
	return span
}
