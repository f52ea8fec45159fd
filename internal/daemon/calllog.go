package daemon

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A callLog writes one line for a call that has failed by the daemon's own fault, and at
// verbosity 2 one for each call. A refusal is an answer like any other. Calls that are not
// logged cost nothing.
type callLog struct{ log *slog.Logger }

func (l callLog) unary(ctx context.Context, q any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	r, err := handler(ctx, q)
	l.ended(ctx, info.FullMethod, start, err)
	return r, err
}

func (l callLog) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	err := handler(srv, stream)
	l.ended(stream.Context(), info.FullMethod, start, err)
	return err
}

func (l callLog) ended(ctx context.Context, method string, start time.Time, err error) {
	level := slog.LevelDebug
	if code := status.Code(err); code == codes.Internal || code == codes.Unknown {
		level = slog.LevelError
	}
	if !l.log.Enabled(ctx, level) {
		return
	}
	args := []any{"method", method, "took", time.Since(start)}
	if err != nil {
		args = append(args, "error", err)
	}
	l.log.Log(ctx, level, "call ended", args...)
}
