package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/counted"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// maxFrame bounds a frame from the daemon, in encoded bytes.
const maxFrame = 1 << 20

// A stream is the program's end of an Attach call as a link.Stream, with a connection of
// its own.
type stream struct {
	rpc    grpc.BidiStreamingClient[pb.AttachRequest, pb.AttachResponse]
	heard  counted.Counter
	missed *atomic.Uint64
	cancel context.CancelFunc

	receiver wire.ResponseReceiver
}

// openStream dials addr and opens a stream, which lives as long as ctx. missed gets what the
// daemon tells.
func openStream(ctx context.Context, addr sockaddr.Address, missed *atomic.Uint64) (*stream, error) {
	s := &stream{missed: missed}
	var failed atomic.Pointer[error] // why dialling failed, which gRPC says in more words
	conn, err := newConn(addr, func(conn net.Conn, err error) (net.Conn, error) {
		if err != nil {
			failed.Store(&err)
			return nil, err
		}
		return counted.Conn(conn, &s.heard), nil
	}, grpc.WithIdleTimeout(0))
	if err != nil {
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.rpc, err = pb.NewBusServiceClient(conn).Attach(ctx, grpc.MaxCallRecvMsgSize(maxFrame), grpc.ForceCodecV2(wire.Codec))
	if err != nil {
		s.cancel()
		_ = conn.Close()
		if why := failed.Load(); why != nil {
			return nil, *why
		}
		return nil, plain(err)
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return s, nil
}

// greet says hello, and returns the daemon's welcome. It closes the stream when ctx ends.
func (s *stream) greet(ctx context.Context, h *program.Hello) (*program.Welcome, error) {
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	if err := s.rpc.Send(wire.HelloToProto(h)); err != nil && !errors.Is(err, io.EOF) { // the reason comes with Recv
		return nil, plain(err)
	}
	r, err := s.rpc.Recv()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, plain(err)
	}
	w, err := wire.WelcomeFromProto(r)
	if err == nil && !stop() {
		err = context.Cause(ctx)
	}
	return w, err
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
	case st.Code() == codes.Aborted:
		return &link.Error{Code: link.Replaced, Message: st.Message(), Remote: true}
	case st.Code() == codes.Unimplemented:
		return &link.Error{Code: link.Version, Message: "the daemon offers no Ksocks to programs: it is an older one", Remote: true}
	}
	message := st.Message()
	if cause, lost := strings.CutPrefix(message, "error reading from server: "); lost {
		return fmt.Errorf("the connection was lost: %s", cause)
	}
	return errors.New(message)
}

func (s *stream) Send(f link.Frame) error {
	if err := wire.SendRequest(s.rpc, f); err != nil {
		return plain(err)
	}
	return nil
}

// Recv returns io.EOF only when the daemon has ended the call with the status OK.
func (s *stream) Recv() (link.Frame, error) {
	f, err := s.receiver.Recv(s.rpc)
	if err != nil {
		return nil, plain(err)
	}
	if n := s.receiver.Missed; n > s.missed.Load() { // one stream at a time
		s.missed.Store(n)
	}
	return f, nil
}

func (s *stream) Heard() uint64 { return s.heard.Heard() }

func (s *stream) CloseSend() error { return s.rpc.CloseSend() }

func (s *stream) Close() { s.cancel() }
