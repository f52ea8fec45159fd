package rpcstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/internal/counted"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// dialTimeout bounds the making of a connection, the server's first words included.
const dialTimeout = 5 * time.Second

// NewConn makes a connection for unary calls, which dials addr when there is one. Keepalive
// notices a dead server within 30 s, but is not misled by one that is merely busy. window is
// ProgramWindow or LinkWindow.
func NewConn(addr sockaddr.Address, window int32) (*grpc.ClientConn, error) {
	return newConn(addr, window, new(net.Dialer).DialContext,
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 20 * time.Second, PermitWithoutStream: true}))
}

// newConn makes a connection that dials addr itself, with dial: gRPC's resolvers would take a
// bare path for a host name.
func newConn(addr sockaddr.Address, window int32, dial func(ctx context.Context, network, address string) (net.Conn, error), more ...grpc.DialOption) (*grpc.ClientConn, error) {
	target := "passthrough:///" + addr.Address
	if addr.Network == "unix" {
		target = "passthrough:///localhost"
	}
	return grpc.NewClient(target, append(append(dialOptions(window),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, addr.Network, addr.Address) }),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: dialTimeout,
		}),
	), more...)...)
}

// A Client is the end of a stream whose side has dialled, but for its frames.
type Client[S grpc.ClientStream] struct {
	// RPC is the call.
	RPC S

	heard  counted.Counter
	cancel context.CancelFunc
}

// Open dials addr and opens a stream with call. It lives until Close, or ctx ends, on a
// connection of its own: a gRPC channel that has failed once redials by a rhythm of its own
// and hands out its last error meanwhile. The connection has no keepalive, for a session
// judges sooner whether its peer lives. window is as in NewConn. The error is that of
// dialling, else gRPC's.
func Open[S grpc.ClientStream](ctx context.Context, addr sockaddr.Address, window int32, call func(context.Context, *grpc.ClientConn) (S, error)) (*Client[S], error) {
	c := new(Client[S])
	var failed atomic.Pointer[error] // why dialling failed, which gRPC says in more words
	conn, err := newConn(addr, window, func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			failed.Store(&err)
			return nil, err
		}
		return counted.Conn(conn, &c.heard), nil
	}, grpc.WithIdleTimeout(0))
	if err != nil {
		return nil, err
	}
	ctx, c.cancel = context.WithCancel(ctx)
	if c.RPC, err = call(ctx, conn); err != nil {
		c.cancel()
		_ = conn.Close()
		if why := failed.Load(); why != nil {
			return nil, *why
		}
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return c, nil
}

// Buffered is link.BufferedStream's: gRPC takes 64 KiB for a stream before Send waits.
func (c *Client[S]) Buffered() {}

// Heard is link.Stream's.
func (c *Client[S]) Heard() uint64 { return c.heard.Heard() }

// CloseSend is link.Stream's.
func (c *Client[S]) CloseSend() error { return c.RPC.CloseSend() }

// Close is link.Stream's.
func (c *Client[S]) Close() { c.cancel() }

// ClientError says why a call ended without gRPC's words; nil stays nil. It is io.EOF only
// when the server has ended the call with the status OK.
func ClientError(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	st, ok := status.FromError(err)
	switch {
	case !ok:
		return err
	case st.Code() == codes.Canceled:
		return errors.New("the stream was given up")
	}
	message := st.Message()
	if cause, lost := strings.CutPrefix(message, "error reading from server: "); lost {
		return fmt.Errorf("the connection was lost: %s", cause)
	}
	return errors.New(message)
}
