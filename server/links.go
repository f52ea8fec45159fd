package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// linkService accepts links, each its own limpet.
type linkService struct {
	pb.UnimplementedLinkServiceServer

	node       *limpet.Node
	cfg        limpet.Config
	ctx        context.Context // of all limpets; ended after the drain
	terminated func()
	draining   atomic.Bool
	numbers    atomic.Uint64
	slots      chan struct{} // bounds the links

	wg sync.WaitGroup
}

// maxLinks bounds how many peers may be linked, or try to be, at once.
const maxLinks = 1024

// Link serves one peer until the link ends.
func (s *linkService) Link(stream grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return status.Errorf(codes.ResourceExhausted, "%d links are being served, there can be no more", maxLinks)
	}
	if s.draining.Load() {
		return status.Error(codes.Unavailable, "the daemon is going away")
	}
	from := "unknown"
	if p, ok := peer.FromContext(stream.Context()); ok && p.Addr != nil && p.Addr.String() != "" {
		from = p.Addr.Network() + ":" + p.Addr.String()
	}
	record := s.node.NewLink(fmt.Sprintf("accepted %d from %s", s.numbers.Add(1), from))
	adapter := &serverStream{stream: stream, closed: make(chan struct{})}
	ended := make(chan error, 1)
	s.wg.Go(func() {
		defer record.Remove()
		err := limpet.Accept(s.ctx, record, adapter, s.cfg)
		s.node.Log().Info("link down", "link", record.Name(), "reason", err)
		ended <- err
		if errors.Is(err, limpet.ErrTerminated) {
			s.terminated()
		}
	})
	// Only our return unblocks a Send that flow control holds up, so a limpet that
	// has closed its stream is not waited for long.
	select {
	case err := <-ended:
		return linkStatus(err)
	case <-adapter.closed:
	}
	grace := time.NewTimer(100 * time.Millisecond)
	defer grace.Stop()
	select {
	case err := <-ended:
		return linkStatus(err)
	case <-grace.C:
		return status.Error(codes.Aborted, "the link has ended")
	}
}

// linkStatus says at the RPC's edge why a link ended.
func linkStatus(err error) error {
	var verdict *link.Error
	switch {
	case errors.Is(err, link.ErrPeerClosed):
		return nil
	case errors.As(err, &verdict) && verdict.Code == link.Protocol:
		return status.Error(codes.InvalidArgument, verdict.Error())
	case errors.As(err, &verdict) && verdict.Refusal():
		return status.Error(codes.FailedPrecondition, verdict.Error())
	default:
		return status.Error(codes.Unavailable, err.Error())
	}
}

// drain ends all accepted links well.
func (s *linkService) drain(ctx context.Context) {
	s.draining.Store(true)
	var all sync.WaitGroup
	for _, record := range s.node.Links() {
		l := record.Limpet()
		if l == nil || !l.Accepted() {
			continue
		}
		all.Go(func() { l.Drain(ctx, "the daemon is stopping") })
	}
	all.Wait()
}

// A serverStream is the server's end of a Link call as a link.Stream.
type serverStream struct {
	stream grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]
	once   sync.Once
	closed chan struct{}
}

func (s *serverStream) Send(f *pb.Frame) error {
	return s.stream.Send(&pb.LinkResponse{Frame: f})
}

func (s *serverStream) Recv() (*pb.Frame, error) {
	r, err := s.stream.Recv()
	if err != nil {
		return nil, err
	}
	return r.GetFrame(), nil
}

func (s *serverStream) CloseSend() error { return nil } // the handler's return does it

func (s *serverStream) Close() { s.once.Do(func() { close(s.closed) }) }
