package bus

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/guard"
	"github.com/kbus-limpet/limpet/internal/rpcstream"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// helloTimeout bounds the wait for a program's hello.
const helloTimeout = 5 * time.Second

// The windows that are offered to programs.
const (
	windowMessages = 4096
	windowBytes    = 1 << 20
)

// Attach serves one stream of a program's session. The server's codec must be wire.Codec.
func (s *Service) Attach(rpc grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]) error {
	if err := s.sessions.enter(); err != nil {
		return attachStatus(err)
	}
	st := &stream{Server: rpcstream.NewServer(rpc.Context()), rpc: rpc, turn: rpc.Context()}
	ended := make(chan error, 1)
	go func() {
		defer s.sessions.leave()
		ended <- s.attach(rpc.Context(), st)
	}()
	if known, err := st.Wait(ended); known {
		return attachStatus(err)
	}
	if err := attachStatus(context.Cause(st.turn)); err != nil {
		return err
	}
	return status.Error(codes.Unavailable, "the stream has ended")
}

// attach hears a program's hello, and serves the stream until it ends.
func (s *Service) attach(ctx context.Context, st *stream) error {
	h, err := s.hear(ctx, st)
	if err != nil {
		link.Refuse(st, err, false)
		return err
	}
	a, err := s.sessions.find(s, h, s.identity(ctx), sourceOf(ctx))
	if err != nil {
		link.Refuse(st, err, false)
		return err
	}
	return a.serve(ctx, st, h)
}

func sourceOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return guard.Source(p.Addr)
	}
	return "unknown"
}

// hear waits for a program's hello, until the service ends.
func (s *Service) hear(ctx context.Context, st *stream) (*program.Hello, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(errStopping) })()
	return st.hello(ctx)
}

// attachStatus says at the RPC's edge why a stream ended.
func attachStatus(err error) error {
	var verdict *link.Error
	switch {
	case err == nil, errors.Is(err, link.ErrPeerClosed):
		return nil
	case !errors.As(err, &verdict):
		return status.Error(codes.Unavailable, err.Error())
	case verdict.Code == link.Protocol, verdict.Code == link.Version:
		return status.Error(codes.InvalidArgument, verdict.Message)
	case verdict.Code == link.NotAuthorised:
		return status.Error(codes.PermissionDenied, verdict.Message)
	case verdict.Code == link.Expired:
		return status.Error(codes.NotFound, verdict.Message)
	case verdict.Code == link.Replaced:
		return status.Error(codes.Aborted, verdict.Message)
	case verdict.Code == link.Stalled:
		return status.Error(codes.ResourceExhausted, verdict.Message)
	default:
		return status.Error(codes.Unavailable, verdict.Message)
	}
}

// A stream is the server's end of an Attach call as a link.Stream.
type stream struct {
	*rpcstream.Server
	rpc      grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]
	receiver wire.RequestReceiver
	ksock    kbusdev.Ksock   // whose missed messages are told; nil before it is known
	turn     context.Context // of which the stream has had its turn; set before it is closed
}

// hello returns the program's hello.
func (s *stream) hello(ctx context.Context) (*program.Hello, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, helloTimeout, link.Errorf(link.Protocol, "no hello within %v", helloTimeout))
	defer cancel()
	type heard struct {
		hello *program.Hello
		err   error
	}
	first := make(chan heard, 1)
	go func() { // ends with the call, at the latest
		r, err := s.rpc.Recv()
		if err != nil {
			first <- heard{err: serverError(err)}
			return
		}
		h, err := wire.HelloFromProto(r)
		first <- heard{h, err}
	}()
	select {
	case got := <-first:
		return got.hello, got.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *stream) Send(f link.Frame) error {
	lost := uint64(0)
	if s.ksock != nil {
		lost = missed(s.ksock)
	}
	return serverError(wire.SendResponse(s.rpc, f, lost))
}

func (s *stream) Recv() (link.Frame, error) {
	f, err := s.receiver.Recv(s.rpc)
	if err != nil {
		return nil, serverError(err)
	}
	s.Received()
	return f, nil
}

func serverError(err error) error { return rpcstream.ServerError(err, "the program") }
