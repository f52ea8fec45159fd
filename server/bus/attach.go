package bus

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

const (
	// helloTimeout bounds the wait for a program's hello.
	helloTimeout = 5 * time.Second
	// closeGrace is how long a stream that has been closed may take to say why.
	closeGrace = 100 * time.Millisecond
)

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
	st := &stream{rpc: rpc, turn: rpc.Context(), closed: make(chan struct{})}
	if p, ok := peer.FromContext(rpc.Context()); ok {
		st.heard, _ = p.Addr.(interface{ Heard() uint64 })
	}
	ended := make(chan error, 1)
	go func() {
		defer s.sessions.leave()
		ended <- s.attach(rpc.Context(), st)
	}()
	// Only our return unblocks a Send that flow control holds up, so a stream that has
	// been closed is not waited for long.
	select {
	case err := <-ended:
		return attachStatus(err)
	case <-st.closed:
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case err := <-ended:
		return attachStatus(err)
	case <-grace.C:
		if err := attachStatus(context.Cause(st.turn)); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "the stream has ended")
	}
}

// attach hears a program's hello, and serves the stream until it ends.
func (s *Service) attach(ctx context.Context, st *stream) error {
	h, err := s.hear(ctx, st)
	if err != nil {
		link.Refuse(st, err, false)
		return err
	}
	a, err := s.sessions.find(s, h)
	if err != nil {
		link.Refuse(st, err, false)
		return err
	}
	return a.serve(ctx, st, h)
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

// errCutOff is the end of a stream that the program did not end in order.
var errCutOff = errors.New("the connection was lost, or the program gave the stream up")

// A stream is the server's end of an Attach call as a link.Stream.
type stream struct {
	rpc    grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]
	ksock  kbusdev.Ksock               // whose missed messages are told; nil before it is known
	heard  interface{ Heard() uint64 } // nil if the connection is not counted
	frames atomic.Uint64               // what has been heard then

	receiver wire.RequestReceiver

	turn context.Context // of which the stream has had its turn; set before it is closed

	once   sync.Once
	closed chan struct{}
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
			first <- heard{err: plain(err)}
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
	return plain(wire.SendResponse(s.rpc, f, lost))
}

func (s *stream) Recv() (link.Frame, error) {
	f, err := s.receiver.Recv(s.rpc)
	if err != nil {
		return nil, plain(err)
	}
	s.frames.Add(1)
	return f, nil
}

// plain says why a call ended without gRPC's words. io.EOF stays: the program has closed
// its side in order.
func plain(err error) error {
	switch st, ok := status.FromError(err); {
	case err == nil, errors.Is(err, io.EOF):
		return err
	case !ok:
		return err
	case st.Code() == codes.Canceled, st.Code() == codes.Unavailable:
		return errCutOff
	case st.Code() == codes.ResourceExhausted, st.Code() == codes.Internal, st.Code() == codes.InvalidArgument:
		// gRPC itself could not take it: too long, or no protobuf.
		return link.Errorf(link.Protocol, "the program sent what cannot be read: %s", st.Message())
	default:
		return errors.New(st.Message())
	}
}

func (s *stream) Heard() uint64 {
	if s.heard != nil {
		return s.heard.Heard()
	}
	return s.frames.Load()
}

func (s *stream) CloseSend() error { return nil } // the handler's return does it

func (s *stream) Close() { s.once.Do(func() { close(s.closed) }) }
