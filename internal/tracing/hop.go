package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/trace"
)

var kinds = map[trace.Kind]oteltrace.SpanKind{trace.Client: oteltrace.SpanKindClient, trace.Server: oteltrace.SpanKindServer}

// linkEnded is why a span without an answer has ended.
const linkEnded = "the link ended before an answer"

// hop makes a span OpenTelemetry's, and puts it into the batch.
func (w *worker) hop(s *trace.Span) {
	ctx := context.WithValue(context.Background(), hopKey{}, s)
	if s.Parent != ([8]byte{}) {
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
			TraceID: s.Context.TraceID, SpanID: s.Parent, TraceFlags: oteltrace.FlagsSampled, Remote: true,
		}))
	}
	_, span := w.tracer.Start(ctx, printable.Text(s.Name), oteltrace.WithTimestamp(s.Start), oteltrace.WithSpanKind(kinds[s.Kind]), oteltrace.WithAttributes(
		attribute.String("messaging.system", "kbus"),
		attribute.String("messaging.message.id", s.ID.String()),
		attribute.Int64("kbus.network_id", int64(s.Network)),
		attribute.Int64("kbus.peer_network_id", int64(s.Peer)),
	))
	if s.Answer != "" && s.Answer != s.Name {
		span.SetAttributes(attribute.String("kbus.answer", printable.Text(s.Answer)))
	}
	switch {
	case s.Outcome == 0:
		span.SetStatus(codes.Error, linkEnded)
	case s.Outcome != kbusdev.Answered:
		span.SetAttributes(attribute.String("kbus.outcome", s.Outcome.String()), attribute.String("error.type", printable.Text(s.Reason)))
		span.SetStatus(codes.Error, kbusdev.ExplainReason(printable.Text(s.Reason)))
	default:
		span.SetAttributes(attribute.String("kbus.outcome", s.Outcome.String()))
	}
	span.End(oteltrace.WithTimestamp(s.End))
}
