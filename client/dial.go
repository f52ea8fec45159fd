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
// a bare path for a host name. Keepalive notices a dead peer within 13 s. failed,
// unless nil, is told why dialling failed, which gRPC says in more words.
func newConn(addr sockaddr.Address, failed func(error)) (*grpc.ClientConn, error) {
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, addr.Network, addr.Address)
		if err != nil && failed != nil {
			failed(err)
		}
		return conn, err
	}
	target := "passthrough:///" + addr.Address
	if addr.Network == "unix" {
		target = "passthrough:///localhost"
	}
	return grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dial),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstDelay, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastDelay},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
}
