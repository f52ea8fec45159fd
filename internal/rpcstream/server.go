package rpcstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// closeGrace is how long a stream that has been closed may take to say why.
const closeGrace = 100 * time.Millisecond

// A Server is the end of a stream whose side was dialled, but for its frames.
type Server struct {
	ctx    context.Context             // the call's
	heard  interface{ Heard() uint64 } // nil if the connection is not counted
	frames atomic.Uint64               // what has been heard then

	once   sync.Once
	closed chan struct{}
}

// NewServer returns the end of the call that has the context ctx. On a connection of a
// counted.Listener it can tell a slow peer from a dead one in the middle of a frame.
func NewServer(ctx context.Context) *Server {
	s := &Server{ctx: ctx, closed: make(chan struct{})}
	if p, ok := peer.FromContext(ctx); ok {
		s.heard, _ = p.Addr.(interface{ Heard() uint64 })
	}
	return s
}

// Received notes that a frame has come.
func (s *Server) Received() { s.frames.Add(1) }

// Buffered is link.BufferedStream's; see Client.
func (s *Server) Buffered() {}

// Heard is link.Stream's.
func (s *Server) Heard() uint64 {
	if s.heard != nil {
		return s.heard.Heard()
	}
	return s.frames.Load()
}

// Identity is limpet.Identified's.
func (s *Server) Identity() rules.Identity { return identity.FromContext(s.ctx) }

// Transport is limpet.Identified's.
func (s *Server) Transport() string { return string(identity.TransportOf(s.ctx)) }

// CloseSend is link.Stream's: the handler's return does it.
func (s *Server) CloseSend() error { return nil }

// Close is link.Stream's.
func (s *Server) Close() { s.once.Do(func() { close(s.closed) }) }

// Wait returns what comes on ended, why the stream has. Only the handler's return unblocks
// a Send that flow control holds up, so a stream that has been closed is not waited for
// long; known is false then.
func (s *Server) Wait(ended <-chan error) (known bool, why error) {
	select {
	case err := <-ended:
		return true, err
	case <-s.closed:
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case err := <-ended:
		return true, err
	case <-grace.C:
		return false, nil
	}
}

// ServerError says why a call of somebody, "the peer", ended without gRPC's words; nil
// stays nil. io.EOF stays: the other side has closed its own in order. What gRPC itself could
// not take, for it was too long or no protobuf, is an *link.Error of code Protocol.
func ServerError(err error, who string) error {
	switch st, ok := status.FromError(err); {
	case err == nil, errors.Is(err, io.EOF), !ok:
		return err
	case st.Code() == codes.Canceled, st.Code() == codes.Unavailable:
		return fmt.Errorf("the connection was lost, or %s gave the stream up", who)
	case st.Code() == codes.ResourceExhausted, st.Code() == codes.Internal, st.Code() == codes.InvalidArgument:
		return link.Errorf(link.Protocol, "%s sent what cannot be read: %s", who, st.Message())
	default:
		return errors.New(st.Message())
	}
}
