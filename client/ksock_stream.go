package client

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/rpcstream"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// maxFrame bounds a frame from the daemon, in encoded bytes.
const maxFrame = 1 << 20

type rpc = grpc.BidiStreamingClient[pb.AttachRequest, pb.AttachResponse]

// A stream is the program's end of an Attach call as a link.Stream.
type stream struct {
	*rpcstream.Client[rpc]
	missed   *atomic.Uint64
	receiver wire.ResponseReceiver
}

// openStream dials the daemon and opens a stream on a connection of its own, which lives as long as
// ctx. missed gets what the daemon tells.
func openStream(ctx context.Context, to rpcstream.Target, missed *atomic.Uint64) (*stream, error) {
	c, err := rpcstream.Open(ctx, to, rpcstream.ProgramWindow, func(ctx context.Context, conn *grpc.ClientConn) (rpc, error) {
		return pb.NewBusServiceClient(conn).Attach(ctx, grpc.MaxCallRecvMsgSize(maxFrame), grpc.ForceCodecV2(wire.Codec))
	})
	if err != nil {
		return nil, plain(err)
	}
	return &stream{Client: c, missed: missed}, nil
}

// greet says hello, and returns the daemon's welcome. It closes the stream when ctx ends.
func (s *stream) greet(ctx context.Context, h *program.Hello) (*program.Welcome, error) {
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	if err := s.RPC.Send(wire.HelloToProto(h)); err != nil && !errors.Is(err, io.EOF) { // the reason comes with Recv
		return nil, plain(err)
	}
	r, err := s.RPC.Recv()
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
	switch st, _ := status.FromError(err); st.Code() {
	case codes.Aborted:
		return &link.Error{Code: link.Replaced, Message: st.Message(), Remote: true}
	case codes.Unimplemented:
		return &link.Error{Code: link.Version, Message: "the daemon offers no Ksocks to programs: it is an older one", Remote: true}
	default:
		return rpcstream.ClientError(err)
	}
}

func (s *stream) Send(f link.Frame) error { return plain(wire.SendRequest(s.RPC, f)) }

func (s *stream) Recv() (link.Frame, error) {
	f, err := s.receiver.Recv(s.RPC)
	if err != nil {
		return nil, plain(err)
	}
	if n := s.receiver.Missed; n > s.missed.Load() { // one stream at a time
		s.missed.Store(n)
	}
	return f, nil
}
