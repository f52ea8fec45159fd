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

// ReadyService is the name of the health service that tells whether a daemon is ready.
const ReadyService = "ready"

// linkPrefix starts the name of the health service of each link.
const linkPrefix = "link/"

// Health is grpc.health.v1 for a gRPC server:
//
//   - "" is whether the daemon is alive: SERVING as long as it answers, also while it
//     drains its links. Whoever restarts what hangs looks here.
//   - The server's services are SERVING until Stop.
//   - "ready" is SERVING from when everything is served and each link that is dialled from
//     the start has been up once, until Stop. A link that breaks later does not change it:
//     the bus goes on, and what is sent is kept for the link. Whoever waits for a daemon, or
//     sends programs to one that works, looks here.
//   - "link/NAME" is SERVING while that link is up, and unknown once it is forgotten.
//
// The last two are there if there is a node. It is not grpc's own health server, for that
// cannot forget a service, and cannot list more than 100. Its methods are safe for
// concurrent use.
type Health struct {
	healthpb.UnimplementedHealthServer
	// Alive reports whether the daemon makes progress, and returns when its context ends.
	// Check asks it about ""; nil is yes. It is not changed once the server serves.
	Alive    func(context.Context) error
	node     *limpet.Node
	services map[string]bool

	mu      sync.Mutex
	started chan struct{} // closed once everything is served
	dialled int           // how many links must have been up before it is ready
	ready   bool          // it has been
	once    sync.Once
	stopped chan struct{}
}

// NewHealth returns the health of a server with these services. node may be nil: no
// link is shown then, as is right for a server that strangers reach.
func NewHealth(node *limpet.Node, services ...string) *Health {
	h := &Health{node: node, services: make(map[string]bool), started: make(chan struct{}), stopped: make(chan struct{})}
	for _, s := range services {
		h.services[s] = true
	}
	return h
}

// Started says that everything is served, and that this many links are dialled.
func (h *Health) Started(dialled int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dialled = dialled
	select {
	case <-h.started:
	default:
		close(h.started)
	}
}

// isReady reports whether the daemon is, or has been, ready.
func (h *Health) isReady() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.started:
	default:
		return false
	}
	if h.ready {
		return true
	}
	up := 0
	for _, p := range h.node.Peerings() {
		if p.Dialled() && p.HasBeenUp() {
			up++
		}
	}
	h.ready = up >= h.dialled
	return h.ready
}

// Stop makes everything but "" NOT_SERVING, and tells those who watch.
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
	switch {
	case service == "":
		return healthpb.HealthCheckResponse_SERVING
	case h.services[service]:
		return h.serving(true)
	case service == ReadyService && h.node != nil:
		return h.serving(h.isReady())
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
func (h *Health) Check(ctx context.Context, q *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if q.GetService() == "" && h.Alive != nil {
		if err := h.Alive(ctx); err != nil {
			return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}, nil //nolint:nilerr // that is the answer
		}
	}
	st := h.check(q.GetService())
	if st == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, status.Errorf(codes.NotFound, "unknown service %.200q", q.GetService())
	}
	return &healthpb.HealthCheckResponse{Status: st}, nil
}

// List returns the status of every service and link.
func (h *Health) List(context.Context, *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	all := map[string]*healthpb.HealthCheckResponse{"": {Status: healthpb.HealthCheckResponse_SERVING}}
	for s := range h.services {
		all[s] = &healthpb.HealthCheckResponse{Status: h.serving(true)}
	}
	if h.node != nil {
		all[ReadyService] = &healthpb.HealthCheckResponse{Status: h.serving(h.isReady())}
		for _, p := range h.node.Peerings() {
			all[linkPrefix+p.Name()] = &healthpb.HealthCheckResponse{Status: h.serving(p.State() == limpet.Up)}
		}
	}
	return &healthpb.HealthListResponse{Statuses: all}, nil
}

// Watch sends the status of one service now and each time it changes.
func (h *Health) Watch(q *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	last := healthpb.HealthCheckResponse_ServingStatus(-1)
	started, stopped := h.started, h.stopped
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
		case <-started:
			started = nil // it stays closed
		case <-stopped:
			stopped = nil // it stays closed
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}
