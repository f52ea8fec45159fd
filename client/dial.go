package client

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// newConn makes a connection that dials addr itself: gRPC's resolvers would take
// a bare path for a host name. Keepalive notices a dead daemon within 30 s, but is not
// misled by one that is merely busy. opened, unless nil, wraps what was dialled.
func newConn(addr sockaddr.Address, opened func(net.Conn, error) (net.Conn, error), more ...grpc.DialOption) (*grpc.ClientConn, error) {
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, addr.Network, addr.Address)
		if opened != nil {
			return opened(conn, err)
		}
		return conn, err
	}
	target := "passthrough:///" + addr.Address
	if addr.Network == "unix" {
		target = "passthrough:///localhost"
	}
	return grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dial),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 20 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}, more...)...)
}
