package peer

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/rpcstream"
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

// Link serves one peer until the stream ends.
func (s *service) Link(rpc grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error {
	var from net.Addr
	if p, ok := peer.FromContext(rpc.Context()); ok {
		from = p.Addr
	}
	st := &stream{Server: rpcstream.NewServer(rpc.Context()), rpc: rpc}
	ended, err := s.host.accept(func(ctx context.Context) error {
		err := s.host.node.Accept(ctx, st, s.host.cfg(from))
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
	if known, err := st.Wait(ended); known {
		return linkStatus(err)
	}
	return status.Error(codes.Unavailable, "the link has ended")
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

// A stream is the server's end of a Link call as a link.Stream.
type stream struct {
	*rpcstream.Server
	rpc      grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]
	receiver wire.Receiver
}

func (s *stream) Send(f link.Frame) error {
	return rpcstream.ServerError(wire.Send(s.rpc, f), "the peer")
}

func (s *stream) Recv() (link.Frame, error) {
	f, err := s.receiver.Recv(s.rpc)
	if err != nil {
		return nil, rpcstream.ServerError(err, "the peer")
	}
	s.Received()
	return f, nil
}
