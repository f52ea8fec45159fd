package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The daemon's own faults are logged always, what is ordinary only at verbosity 2.
func TestCallLog(t *testing.T) {
	for _, c := range []struct {
		level slog.Level
		err   error
		want  string
	}{
		{slog.LevelInfo, nil, ""},
		{slog.LevelInfo, status.Error(codes.NotFound, "no replier"), ""},
		{slog.LevelInfo, status.Error(codes.Internal, "broken"), "ERROR"},
		{slog.LevelDebug, nil, "DEBUG"},
		{slog.LevelDebug, status.Error(codes.NotFound, "no replier"), "no replier"},
	} {
		var b bytes.Buffer
		l := callLog{slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: c.level}))}
		_, err := l.unary(context.Background(), nil, &grpc.UnaryServerInfo{FullMethod: "/x/Call"},
			func(context.Context, any) (any, error) { return nil, c.err })
		if got := b.String(); !errors.Is(err, c.err) || !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("at %v, %v: logged %q", c.level, c.err, got)
		}
	}
}
