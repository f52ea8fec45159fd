package daemon_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A request that is stuck has the flight recorder written, once.
func TestStuckRequestIsRecorded(t *testing.T) {
	dir, log := t.TempDir(), new(logText)
	a, b := pair(t, daemon.Config{FlightDir: dir, StuckAfter: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil))}, daemon.Config{})
	replier, err := b.bus.Serve(t.Context(), 0, "$.Slow")
	if err != nil {
		t.Fatal(err)
	}
	a.waitReplier("$.Slow")
	asked := make(chan error, 1)
	go func() {
		_, err := a.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Slow"})
		asked <- err
	}()
	q, err := replier.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for !strings.Contains(log.String(), "a request is stuck") {
		if _, err := a.bus.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := replier.Reply(q, "", nil); err != nil {
		t.Fatal(err)
	}
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	if files, err = filepath.Glob(filepath.Join(dir, "*.trace")); err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	if b, err := os.ReadFile(files[0]); err != nil || !bytes.HasPrefix(b, []byte("go 1.")) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	for _, want := range []string{`msg="a request is stuck" link="network 2" id=[0:`, files[0]} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("the log says %d times %s:\n%s", n, want, log)
		}
	}
	var now bytes.Buffer
	if err := a.bus.Profile(t.Context(), pb.ProfileKind_PROFILE_KIND_FLIGHT, time.Second, false, &now); err != nil || !bytes.HasPrefix(now.Bytes(), []byte("go 1.")) {
		t.Errorf("%d bytes, %v", now.Len(), err)
	}
}

// Profiles are there for those who may administer, and for nobody else.
func TestProfiles(t *testing.T) {
	r := start(t, daemon.Config{})
	profile := func(kind pb.ProfileKind, takes time.Duration, text bool) ([]byte, error) {
		var b bytes.Buffer
		err := r.bus.Profile(t.Context(), kind, takes, text, &b)
		return b.Bytes(), err
	}
	for kind, begins := range map[pb.ProfileKind]string{
		pb.ProfileKind_PROFILE_KIND_CPU: "\x1f\x8b", pb.ProfileKind_PROFILE_KIND_HEAP: "\x1f\x8b", pb.ProfileKind_PROFILE_KIND_ALLOCS: "\x1f\x8b",
		pb.ProfileKind_PROFILE_KIND_GOROUTINE: "\x1f\x8b", pb.ProfileKind_PROFILE_KIND_TRACE: "go 1.",
	} {
		if b, err := profile(kind, time.Millisecond, false); err != nil || !bytes.HasPrefix(b, []byte(begins)) {
			t.Errorf("%v: %.20q, %v", kind, b, err)
		}
	}
	if b, err := profile(pb.ProfileKind_PROFILE_KIND_GOROUTINE, time.Second, true); err != nil || !bytes.Contains(b, []byte("goroutine 1 [")) {
		t.Errorf("%.100q, %v", b, err)
	}
	refused := func(code codes.Code, kind pb.ProfileKind, takes time.Duration, text bool) {
		t.Helper()
		b, err := profile(kind, takes, text)
		if status := new(client.StatusError); len(b) > 0 || !errors.As(err, &status) || status.Code != code {
			t.Errorf("%d bytes, %v, want %v", len(b), err, code)
		}
	}
	refused(codes.InvalidArgument, pb.ProfileKind_PROFILE_KIND_UNSPECIFIED, time.Second, false)
	refused(codes.InvalidArgument, pb.ProfileKind_PROFILE_KIND_CPU, time.Hour, false)
	refused(codes.InvalidArgument, pb.ProfileKind_PROFILE_KIND_CPU, time.Second, true)
	refused(codes.FailedPrecondition, pb.ProfileKind_PROFILE_KIND_FLIGHT, time.Second, false)
	if err := r.SetRules([]rules.Rule{{Allow: []string{"announce"}}}, nil); err != nil {
		t.Fatal(err)
	}
	refused(codes.PermissionDenied, pb.ProfileKind_PROFILE_KIND_HEAP, time.Second, false)
}

// A folder that cannot be written to is found at the start.
func TestFlightDirIsTried(t *testing.T) {
	api := unix(filepath.Join(t.TempDir(), "api"))
	_, err := daemon.Open(t.Context(), daemon.Config{Bus: daemon.Embedded, API: &api, FlightDir: filepath.Join(t.TempDir(), "none")})
	if bad := new(daemon.ConfigError); !errors.As(err, &bad) || bad.Setting != "flight-dir" {
		t.Errorf("%v", err)
	}
	if err := (&daemon.Config{API: &api, StuckAfter: time.Second}).Validate(); err == nil || !strings.Contains(err.Error(), "--flight-dir") {
		t.Errorf("%v", err)
	}
}
