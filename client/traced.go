package client

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// traced returns a context for a unary call that sends m: its trace context goes with the
// call, so that the call's span, if the daemon records one, stands between.
func traced(ctx context.Context, m *kbusdev.Message) context.Context {
	if m.Trace == nil {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "traceparent", m.Trace.String())
}
