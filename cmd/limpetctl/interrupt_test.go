package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
)

// stuck serves an API that takes every call and answers none. Each call is told.
func stuck(t *testing.T) (api string, called <-chan struct{}) {
	t.Helper()
	api = filepath.Join(t.TempDir(), "api")
	l, err := net.Listen("unix", api)
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan struct{}, 1)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		select {
		case calls <- struct{}{}:
		default:
		}
		<-s.Context().Done()
		return s.Context().Err()
	}))
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return api, calls
}

// Whatever a command waits for, an interruption ends it, with 130 and no error said.
func TestInterrupted(t *testing.T) {
	for _, args := range []string{
		"send $.A", "call $.A", "call --all $.*", "listen $.A", "listen --retry $.A", "listen --for 1h $.A", "reply $.A b", "bindings", "status", "links", "drops", "drops --follow", "top", "top --once --json",
		"drain", "reload", "rules explain uid:0 $.A", "watch links", "watch bindings", "watch repliers $.A", "check", "check --json", "latency $.A", "doctor", "profile heap", "bench --json", "bench --json --ask $.A",
	} {
		t.Run(args, func(t *testing.T) {
			api, called := stuck(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				<-called
				cancel()
			}()
			var out, errOut bytes.Buffer
			code := run(ctx, append([]string{"--api", api, "--timeout", "0"}, strings.Fields(args)...), &out, &errOut)
			if code != exitInterrupted || errOut.Len() > 0 || out.Len() > 0 && !measures(args) {
				t.Errorf("%d, %q, %q", code, &out, &errOut)
			}
		})
	}
}

// measures reports whether a command prints what it has measured so far.
func measures(args string) bool {
	return strings.HasPrefix(args, "latency") || strings.HasPrefix(args, "bench")
}

// Data that never comes on standard input is not waited for after an interruption.
func TestInterruptedInput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdin
	os.Stdin = r
	t.Cleanup(func() {
		os.Stdin = before
		_ = w.Close() // which ends the reading
		_ = r.Close()
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut bytes.Buffer
	if code := run(ctx, []string{"send", "$.A", "--file", "-"}, &out, &errOut); code != exitInterrupted {
		t.Errorf("it exits with %d: %s", code, &errOut)
	}
}
