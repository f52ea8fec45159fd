package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	channelz "google.golang.org/grpc/channelz/service"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet"
)

// Config is what a Server needs.
type Config struct {
	// Node is the bus, and its links. Required.
	Node *limpet.Node
	// Limpet is how the limpets of accepted links behave.
	Limpet limpet.Config
	// Version is told by GetStatus.
	Version string
	// Metrics, if set, gets the server's and the links' metrics.
	Metrics prometheus.Registerer
}

// A Server answers RPCs for one node.
type Server struct {
	cfg     Config
	metrics *grpcprom.ServerMetrics
	log     *slog.Logger
}

// New makes a server. The error is that of metrics registered twice.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Node.Log(), metrics: grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram())}
	if cfg.Metrics != nil {
		for _, c := range []prometheus.Collector{s.metrics, linkCollector{cfg.Node}} {
			if err := cfg.Metrics.Register(c); err != nil {
				return nil, fmt.Errorf("registering metrics: %w", err)
			}
		}
	}
	return s, nil
}

// Listeners are where a Server is reached. It closes them. An error of Accept ends
// Run, so they should retry what may pass, as those of package sockaddr do.
type Listeners struct {
	// Peers open links here, over gRPC.
	Peers []net.Listener
	// Classic peers speak the socket protocol of upstream's limpets.
	Classic []net.Listener
	// API is for local programs.
	API []net.Listener
}

// Run serves peers and the local API on their listeners, which it closes, until
// parent ends; then accepted links are drained. It returns nil after parent has ended,
// and limpet.ErrTerminated when a link has read its termination message. Nothing
// is left running when it returns.
func (s *Server) Run(parent context.Context, at Listeners) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	serving, stopServing := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopServing(nil)

	links := &host{
		node: s.cfg.Node, cfg: s.cfg.Limpet, ctx: serving, slots: make(chan struct{}, maxLinks),
		terminated: func() { cancel(limpet.ErrTerminated) },
	}
	checks := health.NewServer()
	peerServer := s.newGRPC(checks, func(r grpc.ServiceRegistrar) { pb.RegisterLinkServiceServer(r, &linkService{host: links}) })
	apiServer := s.newGRPC(checks, func(r grpc.ServiceRegistrar) {
		pb.RegisterBusServiceServer(r, &busService{bus: s.cfg.Node.Bus(), ctx: serving})
		pb.RegisterAdminServiceServer(r, &adminService{node: s.cfg.Node, version: s.cfg.Version, started: time.Now()})
		channelz.RegisterChannelzServiceToServer(r)
	})

	var g errgroup.Group
	serve := func(server *grpc.Server, l net.Listener) {
		g.Go(func() error {
			err := server.Serve(l)
			if err != nil && serving.Err() == nil {
				cancel(fmt.Errorf("serving %s: %w", l.Addr(), err))
			}
			return nil
		})
	}
	for _, l := range at.Peers {
		serve(peerServer, l)
	}
	var accepting sync.WaitGroup
	for _, l := range at.Classic {
		accepting.Go(func() {
			if err := links.serveClassic(l); err != nil {
				cancel(err)
			}
		})
	}
	for _, l := range at.API {
		serve(apiServer, l)
	}
	g.Go(func() error { s.watchLinks(ctx, checks); return nil })

	<-ctx.Done()
	links.drain(serving)
	stopServing(context.Cause(ctx))
	for _, l := range at.Classic {
		_ = l.Close()
	}
	accepting.Wait() // then no link is added any more
	peerServer.Stop()
	apiServer.Stop()
	links.wg.Wait()
	_ = g.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// newGRPC makes one of the two servers, with what both have.
func (s *Server) newGRPC(checks *health.Server, register func(grpc.ServiceRegistrar)) *grpc.Server {
	panicked := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		s.log.ErrorContext(ctx, "panic in a call", "panic", p)
		return status.Error(codes.Internal, "the daemon made a mistake; its log says more")
	})
	logger := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		s.log.Log(ctx, slog.Level(level), msg, fields...)
	})
	logs := []logging.Option{
		logging.WithLogOnEvents(logging.FinishCall),
		logging.WithLevels(func(code codes.Code) logging.Level {
			if code == codes.Internal || code == codes.Unknown {
				return logging.LevelError
			}
			return logging.LevelDebug
		}),
	}
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(s.metrics.UnaryServerInterceptor(), logging.UnaryServerInterceptor(logger, logs...), recovery.UnaryServerInterceptor(panicked)),
		grpc.ChainStreamInterceptor(s.metrics.StreamServerInterceptor(), logging.StreamServerInterceptor(logger, logs...), recovery.StreamServerInterceptor(panicked)),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 5 * time.Second, Timeout: 3 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(1<<20),
	)
	register(server)
	healthpb.RegisterHealthServer(server, checks)
	reflection.Register(server)
	s.metrics.InitializeMetrics(server)
	for name := range server.GetServiceInfo() {
		checks.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
	}
	return server
}

// watchLinks keeps the health of each link, as the service "link/NAME".
func (s *Server) watchLinks(ctx context.Context, checks *health.Server) {
	known := make(map[string]bool)
	for {
		changed := s.cfg.Node.Changed()
		now := make(map[string]bool)
		for _, l := range s.cfg.Node.Links() {
			now[l.Name()] = true
			state := healthpb.HealthCheckResponse_NOT_SERVING
			if l.Status().State == limpet.Up {
				state = healthpb.HealthCheckResponse_SERVING
			}
			checks.SetServingStatus("link/"+l.Name(), state)
		}
		for name := range known {
			if !now[name] {
				checks.SetServingStatus("link/"+name, healthpb.HealthCheckResponse_SERVICE_UNKNOWN)
			}
		}
		known = now
		select {
		case <-changed:
		case <-ctx.Done():
			checks.Shutdown()
			return
		}
	}
}
