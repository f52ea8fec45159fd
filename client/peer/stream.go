package peer

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/rpcstream"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// maxFrame bounds a frame from the peer, in encoded bytes.
const maxFrame = 1 << 20

// open dials a peer and opens a stream on a connection of its own.
func open(ctx context.Context, to rpcstream.Target) (link.Stream, error) {
	c, err := rpcstream.Open(ctx, to, rpcstream.LinkWindow, func(ctx context.Context, conn *grpc.ClientConn) (rpc, error) {
		return pb.NewLinkServiceClient(conn).Link(ctx, grpc.MaxCallRecvMsgSize(maxFrame), grpc.ForceCodecV2(wire.Codec))
	})
	if err != nil {
		return nil, fmt.Errorf("dialling: %w", rpcstream.ClientError(err))
	}
	return &stream{Client: c}, nil
}

type rpc = grpc.BidiStreamingClient[pb.LinkRequest, pb.LinkResponse]

// A stream is the client's end of a Link call as a link.Stream.
type stream struct {
	*rpcstream.Client[rpc]
	frames wire.Receiver
}

func (s *stream) Send(f link.Frame) error { return rpcstream.ClientError(wire.Send(s.RPC, f)) }

func (s *stream) Recv() (link.Frame, error) {
	f, err := s.frames.Recv(s.RPC)
	if err != nil {
		return nil, rpcstream.ClientError(err)
	}
	return f, nil
}
