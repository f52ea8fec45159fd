package rpcstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/internal/counted"
	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// dialTimeout bounds the making of a connection, the server's first words included.
const dialTimeout = 5 * time.Second

// A Target is what is dialled, and how.
type Target struct {
	sockaddr.Address
	// Credentials are those of identity.Client; nil is those without TLS.
	Credentials credentials.TransportCredentials
	// Check, unless nil, says before each dialling why it must not be dialled.
	Check func() error
}

func (t *Target) credentials() credentials.TransportCredentials {
	if t.Credentials == nil {
		return identity.Client(nil, "")
	}
	return t.Credentials
}

func (t *Target) dial(ctx context.Context) (net.Conn, error) {
	if t.Check != nil {
		if err := t.Check(); err != nil {
			return nil, err
		}
	}
	return new(net.Dialer).DialContext(ctx, t.Network, t.Address.Address)
}

// NewConn makes a connection for unary calls, which dials the target when there is a call.
// Keepalive notices a dead server within 30 s, but is not misled by one that is merely busy.
// window is ProgramWindow or LinkWindow.
func NewConn(to Target, window int32) (*grpc.ClientConn, error) {
	return newConn(to, window, to.dial,
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 20 * time.Second, PermitWithoutStream: true}))
}

// newConn makes a connection that dials the target itself, with dial: gRPC's resolvers would
// take a bare path for a host name.
func newConn(to Target, window int32, dial func(context.Context) (net.Conn, error), more ...grpc.DialOption) (*grpc.ClientConn, error) {
	target := "passthrough:///" + to.Address.Address
	if to.Network == "unix" {
		target = "passthrough:///localhost"
	}
	return grpc.NewClient(target, append(append(dialOptions(window),
		grpc.WithTransportCredentials(to.credentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
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

// Open dials a target and opens a stream with call. It lives until Close, or ctx ends, on a
// connection of its own: a gRPC channel that has failed once redials by a rhythm of its own
// and hands out its last error meanwhile. The connection has no keepalive, for a session
// judges sooner whether its peer lives. window is as in NewConn. The error is that of
// dialling, else gRPC's.
func Open[S grpc.ClientStream](ctx context.Context, to Target, window int32, call func(context.Context, *grpc.ClientConn) (S, error)) (*Client[S], error) {
	c := new(Client[S])
	var failed atomic.Pointer[error] // why dialling failed, which gRPC says in more words
	to.Credentials = witness{to.credentials(), &failed}
	conn, err := newConn(to, window, func(ctx context.Context) (net.Conn, error) {
		conn, err := to.dial(ctx)
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

// Identity is limpet.Identified's.
func (c *Client[S]) Identity() rules.Identity { return identity.FromContext(c.RPC.Context()) }

// Transport is limpet.Identified's.
func (c *Client[S]) Transport() string { return string(identity.TransportOf(c.RPC.Context())) }

// CloseSend is link.Stream's.
func (c *Client[S]) CloseSend() error { return c.RPC.CloseSend() }

// Close is link.Stream's.
func (c *Client[S]) Close() { c.cancel() }

// ClientError says why a call ended without gRPC's words; nil stays nil. It is io.EOF only
// when the server has ended the call with the status OK, and an *identity.RefusedError when
// the server does not accept our certificate.
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
	why, ours := words(st.Message())
	if ours {
		return &identity.RefusedError{Err: errors.New(why)}
	}
	return errors.New(why)
}

// Words returns a status's message without gRPC's words.
func Words(message string) string {
	why, _ := words(message)
	return why
}

// words also reports whether the other end does not accept this one's certificate, which it
// finds out when this end takes the connection to be made.
func words(message string) (why string, refused bool) {
	if desc, ok := strings.CutPrefix(message, "connection error: desc = "); ok {
		if plain, err := strconv.Unquote(desc); err == nil {
			message = plain
		}
	}
	if _, alert, ok := strings.Cut(message, "remote error: tls: "); ok {
		return fmt.Sprintf("the other end does not accept this end's certificate: %s", alert), true
	}
	if rest, ok := strings.CutPrefix(message, "transport: "); ok { // of dialling, of the handshake
		if _, cause, ok := strings.Cut(rest, ": "); ok {
			return cause, false
		}
	}
	if cause, lost := strings.CutPrefix(message, "error reading from server: "); lost {
		return fmt.Sprintf("the connection was lost: %s", cause), false
	}
	if strings.HasSuffix(message, net.ErrClosed.Error()) { // gRPC has closed it, for dialTimeout was over
		return fmt.Sprintf("the other end has said nothing for %v: it is stopped, or hangs", dialTimeout), false
	}
	if strings.HasSuffix(message, "while waiting for connections to become ready") {
		return "the time was over before there was a connection", false
	}
	if strings.HasPrefix(message, "error reading server preface: ") {
		return "the other end hung up before it said anything: perhaps it wants TLS, and certificates, or it is no limpetd", false
	}
	return message, false
}

// A witness keeps the error of a handshake, of which gRPC makes a string.
type witness struct {
	credentials.TransportCredentials
	failed *atomic.Pointer[error]
}

func (w witness) Clone() credentials.TransportCredentials { return w }

func (w witness) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, auth, err := w.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if err != nil {
		w.failed.Store(&err)
	}
	return conn, auth, err
}
