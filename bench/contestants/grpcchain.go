package contestants

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kbus-limpet/limpet/bench/contest"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// grpcChain is a floor: two processes that pass on batches between bare gRPC streams.
type grpcChain struct{}

func (*grpcChain) Name() string { return "floor-grpc" }

func (*grpcChain) About() string {
	return fmt.Sprintf("a floor: batches of up to %d messages, passed on between streams of grpc-go %s over unix by two processes that do nothing else", batchMessages, grpc.Version)
}

func (*grpcChain) Check(*contest.Setup) error { return nil }

func (*grpcChain) Traits() contest.Traits { return contest.Traits{} }

func (*grpcChain) Start(ctx context.Context, s *contest.Stage) (contest.Places, error) {
	return startChain(ctx, s, grpcChainRole)
}

func (*grpcChain) Join(_ context.Context, _ contest.Side, place string) (contest.Bus, error) {
	return grpcBus(place), nil
}

const grpcChainRole = "grpc-chain"

// playGRPCChain has the arguments path to listen at, and path to dial, if there is one.
func playGRPCChain(args []string) error {
	l, err := new(net.ListenConfig).Listen(context.Background(), unix, args[0])
	if err != nil {
		return err
	}
	h := new(streamHub)
	if len(args) > 1 {
		stream, err := dialChain(context.Background(), args[1])
		if err != nil {
			return err
		}
		go func() { _ = h.serve(stream) }()
	}
	s := grpc.NewServer()
	pb.RegisterLinkServiceServer(s, &chainService{hub: h})
	if _, err := fmt.Fprintln(os.Stdout, ready); err != nil {
		return err
	}
	return s.Serve(l)
}

type chainService struct {
	pb.UnimplementedLinkServiceServer
	hub *streamHub
}

func (s *chainService) Link(stream grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error {
	return s.hub.serve(&serverStream{stream: stream})
}

// A frameStream is either end of a stream. Send is safe for concurrent use.
type frameStream interface {
	Send(f *pb.Frame) error
	Recv() (*pb.Frame, error)
}

// A streamHub passes what comes on each stream on to all others.
type streamHub struct {
	mu      sync.RWMutex
	streams []frameStream
}

func (h *streamHub) serve(from frameStream) error {
	h.mu.Lock()
	h.streams = append(h.streams[:len(h.streams):len(h.streams)], from)
	h.mu.Unlock()
	for {
		f, err := from.Recv()
		if err != nil {
			return err
		}
		h.mu.RLock()
		streams := h.streams
		h.mu.RUnlock()
		for _, to := range streams {
			if to != from {
				_ = to.Send(f) // who is gone receives no more
			}
		}
	}
}

type serverStream struct {
	mu     sync.Mutex
	stream grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]
}

func (s *serverStream) Send(f *pb.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Send(&pb.LinkResponse{Frame: f})
}

func (s *serverStream) Recv() (*pb.Frame, error) {
	r, err := s.stream.Recv()
	return r.GetFrame(), err
}

type clientStream struct {
	mu     sync.Mutex
	stream grpc.BidiStreamingClient[pb.LinkRequest, pb.LinkResponse]
}

func (s *clientStream) Send(f *pb.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Send(&pb.LinkRequest{Frame: f})
}

func (s *clientStream) Recv() (*pb.Frame, error) {
	r, err := s.stream.Recv()
	return r.GetFrame(), err
}

// dialChain opens a stream, which stays open until ctx ends.
func dialChain(ctx context.Context, path string) (frameStream, error) {
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	stream, err := pb.NewLinkServiceClient(conn).Link(ctx)
	if err != nil {
		return nil, err
	}
	return &clientStream{stream: stream}, nil
}
