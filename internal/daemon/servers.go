package daemon

import (
	"context"
	"log/slog"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	channelz "google.golang.org/grpc/channelz/service"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/rpcstream"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/server/admin"
	"github.com/kbus-limpet/limpet/server/bus"
	"github.com/kbus-limpet/limpet/server/peer"
)

// A grpcServer is a gRPC server with its health.
type grpcServer struct {
	*grpc.Server
	health *admin.Health
}

// How gRPC's keepalive judges. It is for connections that nothing else watches: links
// give signs of life of their own. A program that is stopped for some seconds, or has
// ten thousands of calls to read answers of, must not lose its connection to it.
const (
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 20 * time.Second
	keepaliveMinTime = 5 * time.Second

	// connectionTimeout is how long a new connection may take for its handshake, TLS's included.
	connectionTimeout = 5 * time.Second
	// maxRequest bounds what one message of a client may have, in encoded bytes.
	maxRequest = 1 << 20
	// maxPeerStreams bounds the calls on one connection of a peer.
	maxPeerStreams = 64
)

// peerServer returns the server that peers dial. It does not show who else is linked.
func peerServer(log *slog.Logger, who credentials.TransportCredentials, metrics *grpcprom.ServerMetrics, host *peer.Host) *grpcServer {
	return newServer(log, who, metrics, nil, rpcstream.LinkWindow, host.Register, grpc.MaxConcurrentStreams(maxPeerStreams))
}

// apiServer returns the server of the local API.
func apiServer(log *slog.Logger, who credentials.TransportCredentials, metrics *grpcprom.ServerMetrics, node *limpet.Node, programs *bus.Service, operators *admin.Service) *grpcServer {
	return newServer(log, who, metrics, node, rpcstream.ProgramWindow, func(r grpc.ServiceRegistrar) {
		pb.RegisterBusServiceServer(r, programs)
		pb.RegisterAdminServiceServer(r, operators)
		channelz.RegisterChannelzServiceToServer(r)
	})
}

// newServer returns a server with what both have. who is for its connections; node, unless nil, is whose links
// stand in its health; window is one of rpcstream's.
func newServer(log *slog.Logger, who credentials.TransportCredentials, metrics *grpcprom.ServerMetrics, node *limpet.Node, window int32, register func(grpc.ServiceRegistrar), more ...grpc.ServerOption) *grpcServer {
	panicked := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		log.ErrorContext(ctx, "panic in a call", "panic", p)
		return status.Error(codes.Internal, "the daemon made a mistake; its log says more")
	})
	calls := callLog{log}
	server := grpc.NewServer(append(append(rpcstream.ServerOptions(window),
		grpc.ChainUnaryInterceptor(metrics.UnaryServerInterceptor(), calls.unary, recovery.UnaryServerInterceptor(panicked)),
		grpc.ChainStreamInterceptor(metrics.StreamServerInterceptor(), calls.stream, recovery.StreamServerInterceptor(panicked)),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMinTime, PermitWithoutStream: true}),
		grpc.Creds(who),
		grpc.ConnectionTimeout(connectionTimeout),
		grpc.MaxRecvMsgSize(maxRequest),
	), more...)...)
	register(server)
	var names []string
	for name := range server.GetServiceInfo() {
		names = append(names, name)
	}
	s := &grpcServer{Server: server, health: admin.NewHealth(node, names...)}
	healthpb.RegisterHealthServer(server, s.health)
	reflection.Register(server)
	metrics.InitializeMetrics(server)
	return s
}
