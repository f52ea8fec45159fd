package server

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// A host accepts links of either protocol, each its own limpet.
type host struct {
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

var (
	errTooMany   = fmt.Errorf("%d links are being served, there can be no more", maxLinks)
	errGoingAway = errors.New("the daemon is going away")
)

// accept serves one peer, in a goroutine of its own, and gives why it ended. The
// error is errTooMany or errGoingAway.
func (h *host) accept(from net.Addr, kind string, serve func(*limpet.Link) error) (<-chan error, error) {
	if h.draining.Load() {
		return nil, errGoingAway
	}
	select {
	case h.slots <- struct{}{}:
	default:
		return nil, errTooMany
	}
	peer := "unknown"
	if from != nil && from.String() != "" {
		peer = from.Network() + ":" + from.String()
	}
	record := h.node.NewLink(fmt.Sprintf("accepted %d%s from %s", h.numbers.Add(1), kind, peer))
	ended := make(chan error, 1)
	h.wg.Go(func() {
		defer func() { <-h.slots }()
		defer record.Remove()
		err := serve(record)
		h.node.Log().Info("link down", "link", record.Name(), "reason", err)
		ended <- err
		if errors.Is(err, limpet.ErrTerminated) {
			h.terminated()
		}
	})
	return ended, nil
}

// linkService accepts links over gRPC.
type linkService struct {
	pb.UnimplementedLinkServiceServer
	*host
}

// Link serves one peer until the link ends.
func (s *linkService) Link(stream grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error {
	var from net.Addr
	if p, ok := peer.FromContext(stream.Context()); ok {
		from = p.Addr
	}
	adapter := &serverStream{stream: stream, closed: make(chan struct{})}
	ended, err := s.accept(from, "", func(record *limpet.Link) error { return limpet.Accept(s.ctx, record, adapter, s.cfg) })
	switch {
	case errors.Is(err, errTooMany):
		return status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		return status.Error(codes.Unavailable, err.Error())
	}
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
func (h *host) drain(ctx context.Context) {
	h.draining.Store(true)
	var all sync.WaitGroup
	for _, record := range h.node.Links() {
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
