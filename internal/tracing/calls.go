package tracing

import (
	"context"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// ServerOption has the unary calls of a service traced. A caller can give a context with
// them, as the metadata traceparent. Streams have no span: they last as long as programs do.
func (e *Exporter) ServerOption(service *grpc.ServiceDesc) grpc.ServerOption {
	unary := make(map[string]bool)
	for _, m := range service.Methods {
		unary["/"+service.ServiceName+"/"+m.MethodName] = true
	}
	return grpc.StatsHandler(otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(e.provider),
		otelgrpc.WithMeterProvider(noop.NewMeterProvider()),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(func(i *stats.RPCTagInfo) bool { return unary[i.FullMethodName] }),
	))
}

// ContextOf returns the trace context that a message gets which a call sends; nil if the call
// has no span.
func ContextOf(ctx context.Context) *kbusdev.TraceContext {
	c := oteltrace.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return nil
	}
	return &kbusdev.TraceContext{TraceID: c.TraceID(), SpanID: c.SpanID(), Flags: byte(c.TraceFlags())}
}
