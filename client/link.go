package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// How long to wait before dialling again: from firstDelay, growing to lastDelay,
// with jitter. A refusal waits refusedDelay, for it takes a person to mend it.
const (
	firstDelay   = 200 * time.Millisecond
	lastDelay    = 5 * time.Second
	refusedDelay = 15 * time.Second
)

// Link is a link that this daemon dials.
type Link struct {
	// Node is our side. Required.
	Node *limpet.Node
	// Address is the peer's. Required.
	Address sockaddr.Address
	// Classic is true for a peer that speaks the socket protocol of upstream's limpets.
	Classic bool
	// Limpet is how the link's limpets behave.
	Limpet limpet.Config
}

// Run keeps the link up until ctx ends: it dials, serves, and dials again when
// the link is lost. The first success may take as long as it likes, for the peer
// may come up later. When ctx ends the link is drained and Run returns nil. The
// only other end is limpet.ErrTerminated. Nothing is left running.
func (l *Link) Run(ctx context.Context) error {
	name := "connect "
	if l.Classic {
		name = "connect-classic "
	}
	record := l.Node.NewLink(name + l.Address.String())
	defer record.Remove()
	log := l.Node.Log().With("link", record.Name())
	linkID := limpet.NewLinkID()

	// Limpets end only after their drain.
	serving, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	finish := context.AfterFunc(ctx, func() {
		if current := record.Limpet(); current != nil {
			current.Drain(serving, "the daemon is stopping")
		}
		stop(context.Canceled)
	})
	defer finish()

	delay := newDelay()
	lastSaid := ""
	for {
		up := false
		err := l.serve(serving, record, linkID, func() { up = true })
		if errors.Is(err, limpet.ErrTerminated) {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		record.SetState(limpet.Connecting, err)
		if up {
			delay.reset()
			lastSaid = ""
		}
		wait := delay.next(err)
		// One line for each change of state: the same failure again is not one. A peer
		// that is not there yet is nothing to warn of.
		switch said := err.Error(); {
		case said == lastSaid:
			log.Debug("link still down", "reason", err, "retry_in", wait)
		case up, refusal(err):
			log.Warn("link down; dialling again", "reason", err)
			lastSaid = said
		default:
			log.Info("the peer cannot be reached; dialling until it can", "reason", err)
			lastSaid = said
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// serve dials once and serves one epoch.
func (l *Link) serve(ctx context.Context, record *limpet.Link, linkID []byte, onUp func()) error {
	if l.Classic {
		return l.serveClassic(ctx, record, onUp)
	}
	var mu sync.Mutex
	var dialled error
	conn, err := newConn(l.Address, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		dialled = err
	})
	if err != nil {
		return fmt.Errorf("dialling %s: %w", l.Address, err)
	}
	defer conn.Close() //nolint:errcheck // nothing to be done about it
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewLinkServiceClient(conn).Link(ctx, grpc.MaxCallRecvMsgSize(1<<20))
	if err != nil {
		mu.Lock()
		defer mu.Unlock()
		if dialled != nil {
			return fmt.Errorf("dialling: %w", dialled)
		}
		return fmt.Errorf("dialling %s: %w", l.Address, plain(err))
	}
	return limpet.Dial(ctx, record, &clientStream{stream: stream, cancel: cancel}, linkID, l.Limpet, onUp)
}

// dialTimeout bounds the making of a connection without gRPC.
const dialTimeout = 10 * time.Second

func (l *Link) serveClassic(ctx context.Context, record *limpet.Link, onUp func()) error {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, l.Address.Network, l.Address.Address)
	if err != nil {
		return fmt.Errorf("dialling: %w", err)
	}
	return limpet.DialClassic(ctx, record, conn, l.Limpet, onUp)
}

// plain takes the RPC's wrapping off an error of the connection.
func plain(err error) error {
	if st, ok := status.FromError(err); ok && st.Code() != codes.OK {
		return errors.New(st.Message())
	}
	return err
}

// A clientStream is the client's end of a Link call as a link.Stream.
type clientStream struct {
	stream grpc.BidiStreamingClient[pb.LinkRequest, pb.LinkResponse]
	cancel context.CancelFunc
}

func (s *clientStream) Send(f *pb.Frame) error {
	return s.stream.Send(&pb.LinkRequest{Frame: f})
}

func (s *clientStream) Recv() (*pb.Frame, error) {
	r, err := s.stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, plain(err)
	}
	return r.GetFrame(), nil
}

func (s *clientStream) CloseSend() error { return s.stream.CloseSend() }

func (s *clientStream) Close() { s.cancel() }

// A delay grows from one failure to the next.
type delay struct{ base time.Duration }

func newDelay() *delay { return &delay{base: firstDelay} }

func (d *delay) reset() { d.base = firstDelay }

// next gives the time to wait after err: half of it is chance.
func (d *delay) next(err error) time.Duration {
	wait := d.base
	d.base = min(d.base*2, lastDelay)
	if refusal(err) {
		wait = refusedDelay
	}
	return wait/2 + rand.N(wait/2+1)
}

// refusal reports whether one of the ends wants no link, which a person must mend.
func refusal(err error) bool {
	var verdict *link.Error
	return errors.As(err, &verdict) && verdict.Refusal()
}
