package guard_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/kbus-limpet/limpet/internal/guard"
	"github.com/kbus-limpet/limpet/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// A server answers health checks: Watch goes on until its caller ends it, and List answers
// with a mebibyte.
type server struct {
	healthpb.UnimplementedHealthServer
	open chan struct{} // has one for each Watch that has begun
}

func (s *server) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return &healthpb.HealthCheckResponse{}, nil
}

func (s *server) List(context.Context, *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	return &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{strings.Repeat("x", 1<<20): {}}}, nil
}

func (s *server) Watch(_ *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	s.open <- struct{}{}
	if err := stream.Send(&healthpb.HealthCheckResponse{}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

type fixture struct {
	t *testing.T
	*guard.Guard
	*server
	log  *strings.Builder
	dial func() net.Conn
}

// serve serves behind a guard, in this process, until the test ends.
func serve(t *testing.T, limits guard.Limits) *fixture {
	limits.Name = "tests"
	if limits.Streams == 0 {
		limits.Streams = 1000
	}
	if limits.Untaken == 0 {
		limits.Untaken, limits.UntakenInAll = 1<<30, 1<<30
	}
	f := &fixture{t: t, server: &server{open: make(chan struct{}, 1000)}, log: new(strings.Builder)}
	f.Guard = guard.New(limits, slog.New(slog.NewTextHandler(f.log, nil)))
	inner := bufconn.Listen(1 << 16)
	s := grpc.NewServer(f.ServerOptions(encoding.GetCodecV2("proto"))...)
	healthpb.RegisterHealthServer(s, f.server)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(f.Listen(inner)) }()
	t.Cleanup(func() {
		s.Stop()
		<-ended
	})
	f.dial = func() net.Conn {
		c, err := inner.DialContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return f
}

// client returns a client with a connection of its own.
func (f *fixture) client(more ...grpc.DialOption) healthpb.HealthClient {
	conn, err := grpc.NewClient("passthrough:///x", append(more, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return f.dial(), nil }))...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

func (f *fixture) watch(c healthpb.HealthClient) (stop func(), err error) {
	ctx, cancel := context.WithCancel(f.t.Context())
	f.t.Cleanup(cancel)
	w, err := c.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = w.Recv()
	}
	return cancel, err
}

func (f *fixture) check(c healthpb.HealthClient) error {
	_, err := c.Check(f.t.Context(), &healthpb.HealthCheckRequest{})
	return err
}

// refused waits until a bound was reached so often.
func (f *fixture) refused(bound string, n uint64) {
	f.t.Helper()
	synctest.Wait()
	if got := f.Reached(); got[bound] != n {
		f.t.Errorf("%q is counted %d times, want %d: %v", bound, got[bound], n, got)
	}
	if n > 0 && strings.Count(f.log.String(), `bound="`+bound+`"`)+strings.Count(f.log.String(), "bound="+bound+" ") != 1 {
		f.t.Errorf("the log says of %q: %s", bound, f.log)
	}
}

func closed(c net.Conn) bool {
	synctest.Wait()
	_ = c.SetReadDeadline(time.Now())
	_, err := io.Copy(io.Discard, c)
	return err == nil
}

var watches = []string{healthpb.Health_Watch_FullMethodName}

func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, guard.Limits{Connections: 2})
		a, b := f.client(), f.client()
		if err := f.check(a); err != nil {
			t.Fatal(err)
		}
		if err := f.check(b); err != nil {
			t.Fatal(err)
		}
		c := f.dial()
		if !closed(c) {
			t.Error("a third connection stays")
		}
		if d := f.dial(); !closed(d) {
			t.Error("a fourth connection stays")
		}
		f.refused("connections", 2)
	})
}

func TestConnectionsOfOneSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, guard.Limits{OfSource: 1})
		a, b := f.dial(), f.dial()
		if closed(a) || !closed(b) {
			t.Error("not the first stays")
		}
		f.refused("connections of one source", 1)
		_ = a.Close()
		synctest.Wait()
		if closed(f.dial()) {
			t.Error("the place of one that has gone is not free")
		}
	})
}

func TestConnectsTooFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, guard.Limits{Connecting: guard.Rate{PerSecond: 2, AtOnce: 3}})
		stay := func(n int) (stays int) {
			for range n {
				if c := f.dial(); !closed(c) {
					stays++
					_ = c.Close()
				}
			}
			return stays
		}
		if n := stay(10); n != 3 {
			t.Errorf("%d connections at once, want 3", n)
		}
		f.refused("new connections", 7)
		<-time.After(time.Second)
		if n := stay(10); n != 2 {
			t.Errorf("%d connections after a second, want 2", n)
		}
	})
}

func TestQuietConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, guard.Limits{Quiet: 3 * time.Second})
		quiet, busy := f.dial(), f.client()
		if err := f.check(busy); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second)
		if closed(quiet) {
			t.Error("closed too early")
		}
		<-time.After(2 * time.Second)
		if !closed(quiet) {
			t.Error("it stays")
		}
		f.refused("connections without a call", 1)
		if err := f.check(busy); err != nil {
			t.Error(err)
		}
	})
}

func TestCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, guard.Limits{Calls: []guard.Calls{{Bound: "watches", Methods: watches, InAll: 3, OfConnection: 2}}})
		a, b := f.client(), f.client()
		stop, err := f.watch(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.watch(a); err != nil {
			t.Fatal(err)
		}
		if _, err := f.watch(a); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "2 watches are open on this connection") {
			t.Errorf("a third: %v", err)
		} else if d := status.Convert(err).Details(); len(d) != 1 || d[0].(*errdetails.ErrorInfo).GetMetadata()["outcome"] != "NEVER_RAN" {
			t.Errorf("a third does not say that it has not run: %v", d)
		}
		if _, err := f.watch(b); err != nil {
			t.Fatal(err)
		}
		if _, err := f.watch(b); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "3 watches are open here") {
			t.Errorf("a fourth: %v", err)
		}
		f.refused("watches", 2)
		if err := f.check(a); err != nil {
			t.Errorf("another call: %v", err)
		}
		stop()
		synctest.Wait()
		if _, err := f.watch(b); err != nil {
			t.Errorf("the place of one that has ended is not free: %v", err)
		}
	})
}

// Whoever has an answer may ask again at once: the place of the call is free by then.
func TestPlaceOfAnsweredCallIsFree(t *testing.T) {
	f := serve(t, guard.Limits{Calls: []guard.Calls{{Bound: "calls", InAll: 1, OfConnection: 1}}})
	c := f.client()
	for i := range 3_000 {
		if err := f.check(c); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

func TestCallsTooFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, guard.Limits{Calls: []guard.Calls{{Bound: "calls", Opening: guard.Rate{PerSecond: 1, AtOnce: 5}}}})
		c := f.client()
		for i := range 7 {
			if err := f.check(c); (err == nil) != (i < 5) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		f.refused("calls", 2)
	})
}

// Who opens calls and gives them up, or has them refused, loses the connection; who ends
// them in order, or waits for answers, does not.
func TestGivenUp(t *testing.T) {
	for name, calls := range map[string][]guard.Calls{
		"given up": nil,
		"refused":  {{Bound: "watches", Methods: watches, InAll: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := serve(t, guard.Limits{GivenUp: guard.Rate{AtOnce: 10}, Calls: calls})
				ordinary, hostile := f.client(), f.client()
				if _, err := f.watch(ordinary); err != nil {
					t.Fatal(err)
				}
				for range 100 {
					if err := f.check(hostile); err != nil {
						t.Fatal(err)
					}
				}
				f.refused("calls given up", 0)
				for range 11 {
					if stop, err := f.watch(hostile); err == nil {
						stop()
						synctest.Wait()
					}
				}
				f.refused("calls given up", 1)
				if err := f.check(ordinary); err != nil {
					t.Errorf("an ordinary call: %v", err)
				}
			})
		})
	}
}

// An unread connection is one whose client opens no window.
func unread() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithStaticStreamWindowSize(64 << 10), grpc.WithStaticConnWindowSize(64 << 10)}
}

func (f *fixture) ask(conn *grpc.ClientConn) {
	f.t.Helper()
	s, err := conn.NewStream(f.t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, healthpb.Health_List_FullMethodName)
	if err == nil {
		err = s.SendMsg(&healthpb.HealthListRequest{})
	}
	if err == nil {
		err = s.CloseSend()
	}
	if err != nil {
		f.t.Error(err)
	}
	synctest.Wait()
}

func (f *fixture) conn(more ...grpc.DialOption) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///x", append(more, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return f.dial(), nil }))...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestAnswersNotTaken(t *testing.T) {
	lists := []guard.Calls{{Bound: "lists", Taken: 20 * time.Second}}
	for _, c := range []struct {
		name   string
		limits guard.Limits
		a, b   int // how many answers each of two asks for
		wait   time.Duration
		cut    uint64
	}{
		{"late", guard.Limits{Calls: lists}, 1, 1, 21 * time.Second, 2},
		{"in time", guard.Limits{Calls: lists}, 2, 2, 19 * time.Second, 0},
		{"of one connection", guard.Limits{Untaken: 3<<20 - 1, UntakenInAll: 1 << 30, Calls: lists}, 3, 2, 0, 1},
		{"in all", guard.Limits{Untaken: 1 << 30, UntakenInAll: 5 << 20, Calls: lists}, 4, 1, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := serve(t, c.limits)
				a, b := f.conn(unread()...), f.conn(unread()...)
				for range c.a {
					f.ask(a)
				}
				for range c.b {
					f.ask(b)
				}
				<-time.After(c.wait)
				f.refused("answers not taken", c.cut)
				if err := f.check(f.client()); err != nil {
					t.Errorf("an ordinary call: %v", err)
				}
			})
		})
	}
}

// The answers that are taken cost nothing: what is counted is nothing in the end.
func TestAnswersTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, guard.Limits{Untaken: 3 << 20, UntakenInAll: 3 << 20, Calls: []guard.Calls{{Bound: "all"}}})
		c := f.client()
		for range 20 {
			if _, err := c.List(t.Context(), &healthpb.HealthListRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		f.refused("answers not taken", 0)
	})
}

// A source is an address, or a process.
func TestSource(t *testing.T) {
	for _, c := range []struct{ network, address, want string }{
		{"tcp", "127.0.0.1:0", "127.0.0.1"},
		{"unix", t.TempDir() + "/s", "process "},
	} {
		l, err := net.Listen(c.network, c.address)
		if err != nil {
			t.Fatal(err)
		}
		g := guard.New(guard.Limits{}, slog.New(slog.DiscardHandler))
		var wait sync.WaitGroup
		wait.Go(func() {
			conn, err := g.Listen(l).Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if got := guard.Source(conn.RemoteAddr()); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s is %q, want %q", c.network, got, c.want)
			}
		})
		conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		wait.Wait()
		_ = conn.Close()
		_ = l.Close()
	}
}
