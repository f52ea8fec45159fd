package daemon_test

import (
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/limpet"
)

// A daemon is ready once its links have been up; a link that breaks later is told by its own
// health, and one that is told to stop is alive while it drains, but not ready.
func TestReady(t *testing.T) {
	at := unix(filepath.Join(t.TempDir(), "link"))
	b := start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(at)}})
	conn, err := grpc.NewClient("unix:"+b.api, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	health := healthpb.NewHealthClient(conn)
	want := func(service string, want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		r, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service}, grpc.WaitForReady(true))
		if err != nil || r.GetStatus() != want {
			t.Errorf("%q is %v, %v; want %v", service, r.GetStatus(), err, want)
		}
	}
	const is, isNot = healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING
	link := "link/connect " + at.String()
	b.wait(limpet.Connecting)
	want("", is)
	want("ready", isNot)
	want(link, isNot)
	watch, err := health.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: "ready"})
	if err != nil {
		t.Fatal(err)
	}
	watched := func(want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if r, err := watch.Recv(); err != nil || r.GetStatus() != want {
			t.Errorf("watched: %v, %v; want %v", r.GetStatus(), err, want)
		}
	}
	watched(isNot)

	a := start(t, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(at)}})
	b.wait(limpet.Up)
	watched(is)
	want("ready", is)
	want(link, is)
	a.stop()
	<-a.done
	b.wait(limpet.Connecting)
	want("", is)
	want("ready", is)
	want(link, isNot)

	// What is told while it drains is in the tests of server/admin.
	b.stop()
	watched(isNot)
	<-b.done
}

// A daemon without links is ready as soon as it serves.
func TestReadyWithoutLinks(t *testing.T) {
	r := start(t, daemon.Config{})
	conn, err := grpc.NewClient("unix:"+r.api, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	h, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "ready"})
	if err != nil || h.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("ready is %v, %v", h.GetStatus(), err)
	}
}
