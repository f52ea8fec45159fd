package daemon_test

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
)

// logText is a log that is read while it is written.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A spanCollector is an OpenTelemetry collector.
type spanCollector struct {
	collector.UnimplementedTraceServiceServer
	address string

	mu    sync.Mutex
	away  bool // it takes nothing
	spans []*otlp.Span
	more  chan struct{} // closed when there are more
}

func collect(t *testing.T) *spanCollector {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &spanCollector{address: l.Addr().String(), more: make(chan struct{})}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return c
}

func (c *spanCollector) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return nil, status.Error(codes.Unavailable, "away")
	}
	for _, about := range r.GetResourceSpans() {
		for _, scope := range about.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	close(c.more)
	c.more = make(chan struct{})
	return new(collector.ExportTraceServiceResponse), nil
}

// named waits until there are n spans of this name, and takes them, those that began first
// before the others.
func (c *spanCollector) named(t *testing.T, name string, n int) []*otlp.Span {
	t.Helper()
	for {
		c.mu.Lock()
		var some []*otlp.Span
		for _, s := range c.spans {
			if s.GetName() == name {
				some = append(some, s)
			}
		}
		more := c.more
		c.mu.Unlock()
		if len(some) >= n {
			slices.SortStableFunc(some, func(a, b *otlp.Span) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
			return some
		}
		select {
		case <-more:
		case <-time.After(time.Minute):
			t.Fatalf("%d spans of %s come, want %d", len(some), name, n)
		}
	}
}

func attributeOf(s *otlp.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// threeBuses runs three daemons in a chain whose requests are traced.
func threeBuses(t *testing.T, traces daemon.Traces) (first, last *running) {
	t.Helper()
	dir := t.TempDir()
	one, two := unix(filepath.Join(dir, "1")), unix(filepath.Join(dir, "2"))
	first = start(t, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(one)}, Traces: traces})
	start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(one), daemon.Accept(two)}, Traces: traces})
	last = start(t, daemon.Config{NetworkID: 3, Links: []daemon.LinkConfig{daemon.Dial(two)}, Traces: traces})
	first.wait(limpet.Up)
	last.wait(limpet.Up)
	return first, last
}

// checkChain checks that spans are one branch, the first of them the root's child, in one
// trace, and that each end of each link has one.
func checkChain(t *testing.T, spans []*otlp.Span, trace, parent string) {
	t.Helper()
	byParent := make(map[string]*otlp.Span)
	for _, s := range spans {
		byParent[hex.EncodeToString(s.GetParentSpanId())] = s
	}
	for i, kind := range []otlp.Span_SpanKind{otlp.Span_SPAN_KIND_CLIENT, otlp.Span_SPAN_KIND_SERVER, otlp.Span_SPAN_KIND_CLIENT, otlp.Span_SPAN_KIND_SERVER} {
		s := byParent[parent]
		if s == nil {
			t.Fatalf("no span %d of %v has the parent %q", i, spans, parent)
		}
		if s.GetKind() != kind || hex.EncodeToString(s.GetTraceId()) != trace || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("span %d is %v", i, s)
		}
		parent = hex.EncodeToString(s.GetSpanId())
	}
	if len(spans) != 4 {
		t.Errorf("%d spans, want 4", len(spans))
	}
}

// A request over three buses is one tree, whatever becomes of it.
func TestRequestOverThreeBusesIsOneTree(t *testing.T) {
	c := collect(t)
	first, last := threeBuses(t, daemon.Traces{Endpoint: "http://" + c.address, Sample: 1})
	asker := first.bus.Caller()
	defer asker.Close()

	const answered, failed, ignored = "$.Answered", "$.Failed", "$.Ignored"
	replier, err := last.bus.Serve(t.Context(), 0, answered, failed)
	if err != nil {
		t.Fatal(err)
	}
	silent, err := last.bus.Ksock(t.Context(), kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := silent.Bind(ignored, kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{answered, failed, ignored} {
		first.waitReplier(name)
	}

	t.Run("answered", func(t *testing.T) {
		go func() {
			for _, as := range []string{"", "$.Limpet.CommandFailed"} {
				if q, err := replier.Recv(); err == nil {
					_ = replier.Reply(q, as, nil)
				}
			}
		}()
		for _, name := range []string{answered, failed} {
			if _, err := asker.Call(t.Context(), &kbusdev.Message{Name: name, Data: []byte("secret")}); err != nil {
				t.Fatal(err)
			}
			spans := c.named(t, name, 4)
			checkChain(t, spans, hex.EncodeToString(spans[0].GetTraceId()), "")
			for _, s := range spans {
				if want := map[string]string{failed: "$.Limpet.CommandFailed"}[name]; attributeOf(s, "kbus.answer") != want || s.GetStatus().GetCode() != otlp.Status_STATUS_CODE_UNSET {
					t.Errorf("%v, want the answer %q", s, want)
				}
				if strings.Contains(s.String(), "secret") {
					t.Errorf("it has the message's data: %v", s)
				}
			}
		}
	})
	t.Run("with a trace of the program", func(t *testing.T) {
		theirs := &kbusdev.TraceContext{TraceID: [16]byte{1, 2}, SpanID: [8]byte{3, 4}, Flags: 1}
		seen := make(chan *kbusdev.TraceContext, 1)
		k, err := last.bus.Ksock(t.Context(), kbusdev.ReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		const name = "$.Theirs"
		if err := k.Bind(name, kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
		first.waitReplier(name)
		go func() {
			if q, err := k.Recv(t.Context()); err == nil {
				seen <- q.Trace
				_, _ = k.Send(t.Context(), &kbusdev.Message{Name: name, InReplyTo: q.ID, To: q.From})
			}
		}()
		if _, err := asker.Call(t.Context(), &kbusdev.Message{Name: name, Trace: theirs}); err != nil {
			t.Fatal(err)
		}
		spans := c.named(t, name, 4)
		checkChain(t, spans, hex.EncodeToString(theirs.TraceID[:]), hex.EncodeToString(theirs.SpanID[:]))
		if got := <-seen; got == nil || got.TraceID != theirs.TraceID || !slices.ContainsFunc(spans, func(s *otlp.Span) bool { return string(s.GetSpanId()) == string(got.SpanID[:]) }) {
			t.Errorf("the replier is told %v", got)
		}
	})
	t.Run("a unary call", func(t *testing.T) {
		theirs := &kbusdev.TraceContext{TraceID: [16]byte{5}, SpanID: [8]byte{6}, Flags: 1}
		go func() {
			if q, err := replier.Recv(); err == nil {
				_ = replier.Reply(q, "", nil)
			}
		}()
		if _, err := first.bus.Call(t.Context(), &kbusdev.Message{Name: answered, Trace: theirs}); err != nil {
			t.Fatal(err)
		}
		rpc := c.named(t, "kbus.limpet.v1.BusService/Call", 1)[0]
		if rpc.GetKind() != otlp.Span_SPAN_KIND_SERVER || string(rpc.GetTraceId()) != string(theirs.TraceID[:]) || string(rpc.GetParentSpanId()) != string(theirs.SpanID[:]) {
			t.Errorf("%v", rpc)
		}
		spans := slices.DeleteFunc(c.named(t, answered, 8), func(s *otlp.Span) bool { return string(s.GetTraceId()) != string(theirs.TraceID[:]) })
		checkChain(t, spans, hex.EncodeToString(theirs.TraceID[:]), hex.EncodeToString(rpc.GetSpanId()))
	})
	t.Run("never answered", func(t *testing.T) {
		got := make(chan error, 1)
		go func() {
			_, err := asker.Call(t.Context(), &kbusdev.Message{Name: ignored})
			got <- err
		}()
		if _, err := silent.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = silent.Close()
		if err := <-got; !errors.Is(err, client.ErrMayHaveRun) {
			t.Fatal(err)
		}
		spans := c.named(t, ignored, 4)
		checkChain(t, spans, hex.EncodeToString(spans[0].GetTraceId()), "")
		for _, s := range spans {
			if s.GetStatus().GetCode() != otlp.Status_STATUS_CODE_ERROR || attributeOf(s, "error.type") != "Replier.Ignored" || attributeOf(s, "kbus.outcome") != "MAY_HAVE_RUN" {
				t.Errorf("%v", s)
			}
		}
	})
}

// answerAll answers each request, until the replier is closed.
func answerAll(replier *client.Replier) {
	for {
		q, err := replier.Recv()
		if err != nil {
			return
		}
		_ = replier.Reply(q, "", nil)
	}
}

// Without sampling there is no span, and without an endpoint nobody is asked.
func TestNothingIsSampled(t *testing.T) {
	c := collect(t)
	first, last := threeBuses(t, daemon.Traces{Endpoint: "http://" + c.address})
	replier, err := last.bus.Serve(t.Context(), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	first.waitReplier("$.Ask")
	go answerAll(replier)
	for range 10 {
		if _, err := first.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Ask"}); err != nil {
			t.Fatal(err)
		}
	}
	// One that is traced all the same, and comes after the others.
	if _, err := first.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Ask", Trace: &kbusdev.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{1}, Flags: 1}}); err != nil {
		t.Fatal(err)
	}
	if spans := c.named(t, "$.Ask", 4); len(spans) != 4 {
		t.Errorf("%d spans, want 4", len(spans))
	}
}

// A collector that is away holds nobody up. What it misses is counted, and said once; and
// when it is there it gets what comes then.
func TestCollectorIsAway(t *testing.T) {
	log := new(logText)
	c := collect(t)
	c.away = true
	a, b := pair(t, daemon.Config{Traces: daemon.Traces{Endpoint: "http://" + c.address, Sample: 1}, Metrics: "127.0.0.1:0", Log: slog.New(slog.NewTextHandler(log, nil))}, daemon.Config{})
	replier, err := b.bus.Serve(t.Context(), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	a.waitReplier("$.Ask")
	go answerAll(replier)
	ask := func() (lost uint64) {
		if _, err := a.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Ask"}); err != nil {
			t.Fatal(err)
		}
		r, err := a.bus.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r.GetTraceSpansLost()
	}
	lost := uint64(0)
	for range 2 {
		for before := lost; lost <= before; {
			lost = ask()
		}
	}
	if n := strings.Count(log.String(), "spans are lost"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, log)
	}
	if !regexp.MustCompile(`(?m)^limpetd_trace_spans_lost_total [1-9]`).MatchString(a.metrics()) {
		t.Error("the metrics do not say that spans were lost")
	}
	c.mu.Lock()
	c.away = false
	c.mu.Unlock()
	ask()
	c.named(t, "$.Ask", 1)
}

// What cannot be a collector is refused, and so is one that others could listen to.
func TestTracesAreChecked(t *testing.T) {
	for _, c := range []struct {
		endpoint, wants string
		sample          float64
	}{
		{"collector:4317", "neither http://HOST:PORT nor", 1},
		{"http://collector", "must be http://HOST:PORT and nothing else", 1},
		{"http://collector:4317", "leads to another machine", 1},
		{"https://collector:4317/v1/traces", "must be https://HOST:PORT and nothing else", 1},
		{"https://collector:4317", "-1 is not between 0 and 1", -1},
	} {
		cfg := daemon.Config{Expose: "/dev/kbus0", Traces: daemon.Traces{Endpoint: c.endpoint, Sample: c.sample}}
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.wants) || !strings.Contains(err.Error(), "--trace-") {
			t.Errorf("%s: %v, want %s", c.endpoint, err, c.wants)
		}
		cfg.Insecure, cfg.Traces.Sample = true, 1
		if err := cfg.Validate(); strings.HasSuffix(c.endpoint, "r:4317") && strings.HasPrefix(c.endpoint, "http") && err != nil {
			t.Errorf("%s with --insecure: %v", c.endpoint, err)
		}
	}
}
