package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// Register offers LinkService on a gRPC server. Connections from a counted.Listener
// tell a slow peer from a dead one also in the middle of a frame.
func (h *Host) Register(r grpc.ServiceRegistrar) {
	pb.RegisterLinkServiceServer(r, &service{host: h})
}

type service struct {
	pb.UnimplementedLinkServiceServer
	host *Host
}

// closeGrace is how long a stream that has been closed may take to say why.
const closeGrace = 100 * time.Millisecond

// Link serves one peer until the stream ends.
func (s *service) Link(rpc grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error {
	var from net.Addr
	if p, ok := peer.FromContext(rpc.Context()); ok {
		from = p.Addr
	}
	st := &stream{rpc: rpc, closed: make(chan struct{})}
	st.heard, _ = from.(interface{ Heard() uint64 })
	ended, err := s.host.accept(func(ctx context.Context) error {
		err := s.host.node.Accept(ctx, st, s.host.cfg)
		s.host.refused(from, err)
		return err
	})
	switch {
	case errors.Is(err, errTooMany):
		s.host.refused(from, err)
		return status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		return status.Error(codes.Unavailable, err.Error())
	}
	// Only our return unblocks a Send that flow control holds up, so a stream that has
	// been closed is not waited for long.
	select {
	case err := <-ended:
		return linkStatus(err)
	case <-st.closed:
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case err := <-ended:
		return linkStatus(err)
	case <-grace.C:
		return status.Error(codes.Unavailable, "the link has ended")
	}
}

// linkStatus says at the RPC's edge why a stream ended. What is not a verdict is for
// our own log.
func linkStatus(err error) error {
	var verdict *link.Error
	switch {
	case errors.Is(err, link.ErrPeerClosed):
		return nil
	case !errors.As(err, &verdict):
		return status.Error(codes.Unavailable, "the link has ended")
	case verdict.Code == link.Protocol:
		return status.Error(codes.InvalidArgument, verdict.Message)
	case verdict.Refusal():
		return status.Error(codes.FailedPrecondition, verdict.Message)
	default:
		return status.Error(codes.Unavailable, verdict.Message)
	}
}

// errCutOff is the end of a stream that the peer did not end in order.
var errCutOff = errors.New("the connection was lost, or the peer gave the stream up")

// A stream is the server's end of a Link call as a link.Stream.
type stream struct {
	rpc      grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]
	receiver wire.Receiver
	heard    interface{ Heard() uint64 } // nil if the connection is not counted
	frames   atomic.Uint64               // what has been heard then

	once   sync.Once
	closed chan struct{}
}

func (s *stream) Send(f link.Frame) error {
	if err := wire.Send(s.rpc, f); err != nil {
		return plain(err)
	}
	return nil
}

func (s *stream) Recv() (link.Frame, error) {
	f, err := s.receiver.Recv(s.rpc)
	if err != nil {
		return nil, plain(err)
	}
	s.frames.Add(1)
	return f, nil
}

// plain says why a call ended without gRPC's words. io.EOF stays: the peer has closed
// its side in order.
func plain(err error) error {
	switch st, ok := status.FromError(err); {
	case errors.Is(err, io.EOF):
		return io.EOF
	case !ok:
		return err
	case st.Code() == codes.Canceled, st.Code() == codes.Unavailable:
		return errCutOff
	case st.Code() == codes.ResourceExhausted, st.Code() == codes.Internal, st.Code() == codes.InvalidArgument:
		// gRPC itself could not take it: too long, or no protobuf.
		return link.Errorf(link.Protocol, "the peer sent what cannot be read: %s", st.Message())
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
