package web

import (
	"context"
	"errors"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kbus-limpet/limpet/internal/identity"
)

// A visit is a connection of HTTP, with the connection of gRPC that stands for it.
type visit struct {
	identity.Known
	roads *Roads

	mu     sync.Mutex
	client *grpc.ClientConn // nil before the first call
	closed bool
}

// A visits listener has the connections as visits.
type visits struct {
	net.Listener
	roads *Roads
}

func (l visits) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	known, ok := c.(identity.Known)
	if !ok {
		_ = c.Close()
		return nil, errors.New("a connection that cannot say who is at its other end")
	}
	return &visit{Known: known, roads: l.roads}, nil
}

// roadBuffer is how much gRPC reads and writes at once on a road, in bytes. Every connection
// that has made a call holds some of them.
const roadBuffer = 4 << 10

// conn returns the connection of gRPC, which is made when it is needed first.
func (v *visit) conn() (*grpc.ClientConn, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, net.ErrClosed
	}
	if v.client != nil {
		return v.client, nil
	}
	var err error
	v.client, err = grpc.NewClient("passthrough:///limpetd",
		grpc.WithTransportCredentials(insecure.NewCredentials()), // it does not leave the process
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return v.roads.dial(ctx, v.Known) }),
		grpc.WithReadBufferSize(roadBuffer), grpc.WithWriteBufferSize(roadBuffer),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
	)
	return v.client, err
}

// Close ends both connections.
func (v *visit) Close() error {
	v.mu.Lock()
	v.closed = true
	client := v.client
	v.mu.Unlock()
	if client != nil {
		_ = client.Close()
	}
	return v.Known.Close()
}

type visitKey struct{}

func withVisit(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, visitKey{}, c.(*visit))
}

func visitOf(ctx context.Context) *visit { return ctx.Value(visitKey{}).(*visit) }
