package admin_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/server/admin"
)

func newNode(t *testing.T) *limpet.Node {
	t.Helper()
	n, err := limpet.NewNode(membus.New(), 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(context.Background(), "the test ends") })
	return n
}

func serve(t *testing.T, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	t.Helper()
	server := grpc.NewServer()
	register(server)
	l := bufconn.Listen(1 << 20)
	go server.Serve(l)
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); server.Stop() })
	return conn
}

// Health lists each link, however many, and forgets one that has gone.
func TestHealthOfLinks(t *testing.T) {
	node := newNode(t)
	h := admin.NewHealth(node, "kbus.Service")
	c := healthpb.NewHealthClient(serve(t, func(r grpc.ServiceRegistrar) { healthpb.RegisterHealthServer(r, h) }))
	const links = 300
	var last *limpet.Peering
	for i := range links {
		last = node.NewDialled(fmt.Sprintf("connect %d", i), limpet.Config{}, false)
	}
	all, err := c.List(t.Context(), &healthpb.HealthListRequest{})
	if err != nil || len(all.GetStatuses()) != links+3 {
		t.Fatalf("%d statuses, %v", len(all.GetStatuses()), err)
	}
	service := "link/" + last.Name()
	want := func(service string, want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		r, err := c.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || r.GetStatus() != want {
			t.Errorf("%q is %v, %v; want %v", service, r.GetStatus(), err, want)
		}
	}
	want("", healthpb.HealthCheckResponse_SERVING)
	want("kbus.Service", healthpb.HealthCheckResponse_SERVING)
	want(service, healthpb.HealthCheckResponse_NOT_SERVING)
	watch, err := c.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVICE_UNKNOWN} {
		r, err := watch.Recv()
		if err != nil || r.GetStatus() != want {
			t.Fatalf("watched: %v, %v; want %v", r, err, want)
		}
		last.Close(t.Context(), "the test takes it away")
	}
	if _, err := c.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service}); status.Code(err) != codes.NotFound {
		t.Errorf("the health of a link that is forgotten: %v", err)
	}
	h.Stop()
	want("", healthpb.HealthCheckResponse_SERVING) // a daemon that drains is alive
	want("kbus.Service", healthpb.HealthCheckResponse_NOT_SERVING)
}

// Status comes in pages, and of one link if asked.
func TestStatusInPages(t *testing.T) {
	node := newNode(t)
	for i := range 5 {
		node.NewDialled(fmt.Sprintf("connect %d", i), limpet.Config{}, false)
	}
	c := pb.NewAdminServiceClient(serve(t, func(r grpc.ServiceRegistrar) {
		pb.RegisterAdminServiceServer(r, &admin.Service{Node: node, Version: "v0", Missed: func() uint64 { return 7 }})
	}))
	var names []string
	q := &pb.GetStatusRequest{PageSize: 2}
	for pages := 1; ; pages++ {
		r, err := c.GetStatus(t.Context(), q)
		if err != nil || len(r.GetLinks()) > 2 || r.GetApiMissed() != 7 || r.GetVersion() != "v0" {
			t.Fatalf("page %d: %v, %v", pages, r, err)
		}
		for _, l := range r.GetLinks() {
			names = append(names, l.GetName())
		}
		if q.PageToken = r.GetNextPageToken(); q.GetPageToken() == "" {
			break
		}
	}
	if got := fmt.Sprint(names); got != "[connect 0 connect 1 connect 2 connect 3 connect 4]" {
		t.Errorf("the pages have %s", got)
	}
	if r, err := c.GetStatus(t.Context(), &pb.GetStatusRequest{Link: "connect 3"}); err != nil || len(r.GetLinks()) != 1 || r.GetLinks()[0].GetName() != "connect 3" {
		t.Errorf("one link: %v, %v", r, err)
	}
	if _, err := c.GetStatus(t.Context(), &pb.GetStatusRequest{Link: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("no link: %v", err)
	}
	if _, err := c.DrainLink(t.Context(), &pb.DrainLinkRequest{Name: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("draining no link: %v", err)
	}
}
