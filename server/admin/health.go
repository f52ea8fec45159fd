package admin

import (
	"context"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/limpet"
)

// linkPrefix starts the name of the health service of each link.
const linkPrefix = "link/"

// Health is grpc.health.v1 for a gRPC server: "" and the server's services are SERVING
// until Stop; and for each link of the node there is "link/NAME", which is SERVING
// while the link is up, and unknown once the link is forgotten. It is not grpc's own
// health server, for that cannot forget a service, and cannot list more than 100.
// Its methods are safe for concurrent use.
type Health struct {
	healthpb.UnimplementedHealthServer
	node     *limpet.Node
	services map[string]bool

	once    sync.Once
	stopped chan struct{}
}

// NewHealth returns the health of a server with these services. node may be nil: no
// link is shown then, as is right for a server that strangers reach.
func NewHealth(node *limpet.Node, services ...string) *Health {
	h := &Health{node: node, services: map[string]bool{"": true}, stopped: make(chan struct{})}
	for _, s := range services {
		h.services[s] = true
	}
	return h
}

// Stop makes everything NOT_SERVING, and tells those who watch.
func (h *Health) Stop() { h.once.Do(func() { close(h.stopped) }) }

func (h *Health) stopping() bool {
	select {
	case <-h.stopped:
		return true
	default:
		return false
	}
}

func (h *Health) serving(is bool) healthpb.HealthCheckResponse_ServingStatus {
	if is && !h.stopping() {
		return healthpb.HealthCheckResponse_SERVING
	}
	return healthpb.HealthCheckResponse_NOT_SERVING
}

// check returns the status of a service; SERVICE_UNKNOWN if there is none.
func (h *Health) check(service string) healthpb.HealthCheckResponse_ServingStatus {
	if h.services[service] {
		return h.serving(true)
	}
	if name, ok := strings.CutPrefix(service, linkPrefix); ok && h.node != nil {
		for _, p := range h.node.Peerings() {
			if p.Name() == name {
				return h.serving(p.State() == limpet.Up)
			}
		}
	}
	return healthpb.HealthCheckResponse_SERVICE_UNKNOWN
}

// Check returns the status of one service.
func (h *Health) Check(_ context.Context, q *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	st := h.check(q.GetService())
	if st == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, status.Errorf(codes.NotFound, "unknown service %.200q", q.GetService())
	}
	return &healthpb.HealthCheckResponse{Status: st}, nil
}

// List returns the status of every service and link.
func (h *Health) List(context.Context, *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	all := make(map[string]*healthpb.HealthCheckResponse)
	for s := range h.services {
		all[s] = &healthpb.HealthCheckResponse{Status: h.serving(true)}
	}
	if h.node != nil {
		for _, p := range h.node.Peerings() {
			all[linkPrefix+p.Name()] = &healthpb.HealthCheckResponse{Status: h.serving(p.State() == limpet.Up)}
		}
	}
	return &healthpb.HealthListResponse{Statuses: all}, nil
}

// Watch sends the status of one service now and each time it changes.
func (h *Health) Watch(q *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	last := healthpb.HealthCheckResponse_ServingStatus(-1)
	stopped := h.stopped
	for {
		var changed <-chan struct{}
		if h.node != nil {
			changed = h.node.Changed() // before looking, so that no change is missed
		}
		if now := h.check(q.GetService()); now != last {
			last = now
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-stopped:
			stopped = nil // it stays closed
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}
