package peer

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

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/counted"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// maxFrame bounds a frame from the peer, in encoded bytes.
const maxFrame = 1 << 20

// dialTimeout bounds the making of a connection, the peer's first words included.
const dialTimeout = 5 * time.Second

// open dials addr itself, for gRPC's resolvers would take a bare path for a host name,
// and opens a stream. Each stream has a connection of its own: a gRPC channel that has
// failed once redials by a rhythm of its own and hands out its last error meanwhile.
func open(ctx context.Context, addr sockaddr.Address) (link.Stream, error) {
	s := new(stream)
	var failed atomic.Pointer[error] // why dialling failed, which gRPC says in more words
	dialer := func(ctx context.Context, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, addr.Network, addr.Address)
		if err != nil {
			failed.Store(&err)
			return nil, err
		}
		return counted.Conn(conn, &s.heard), nil
	}
	target := "passthrough:///" + addr.Address
	if addr.Network == "unix" {
		target = "passthrough:///localhost"
	}
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dialer),
		// Links give signs of life of their own, and judge by them sooner than this.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 20 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: dialTimeout}),
		grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", addr, err)
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.rpc, err = pb.NewLinkServiceClient(conn).Link(ctx, grpc.MaxCallRecvMsgSize(maxFrame), grpc.ForceCodecV2(wire.Codec))
	if err != nil {
		s.cancel()
		_ = conn.Close()
		if why := failed.Load(); why != nil {
			return nil, fmt.Errorf("dialling: %w", *why)
		}
		return nil, fmt.Errorf("dialling: %w", plain(err))
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return s, nil
}

// plain says why a call ended without gRPC's words.
func plain(err error) error {
	st, ok := status.FromError(err)
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
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

// A stream is the client's end of a Link call as a link.Stream.
type stream struct {
	rpc    grpc.BidiStreamingClient[pb.LinkRequest, pb.LinkResponse]
	frames wire.Receiver
	heard  counted.Counter
	cancel context.CancelFunc
}

func (s *stream) Send(f link.Frame) error {
	if err := wire.Send(s.rpc, f); err != nil {
		return plain(err)
	}
	return nil
}

// Recv returns io.EOF only when the peer has ended the call with the status OK.
func (s *stream) Recv() (link.Frame, error) {
	f, err := s.frames.Recv(s.rpc)
	if err != nil {
		return nil, plain(err)
	}
	return f, nil
}

func (s *stream) Heard() uint64 { return s.heard.Heard() }

func (s *stream) CloseSend() error { return s.rpc.CloseSend() }

func (s *stream) Close() { s.cancel() }
