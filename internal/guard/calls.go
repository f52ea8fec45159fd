package guard

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// A call is one that goes on.
type call struct {
	conn  *conn
	limit int // index in Limits.Calls, -1 is none

	// Guarded by Guard.mu.
	answered bool // its handler has returned
	freed    bool // its place is another one's
}

type callKey struct{}

// ServerOptions are for the gRPC servers that serve the guard's listeners.
//
// A call costs a server most before anybody has looked at it: so the calls are counted as
// their headers come, and what is too much is refused there. One that ends before its
// handler has returned was given up by the caller, which would otherwise cost the caller
// nothing: it has no place any more, and may open the next one.
//
// A call is judged by the guard that has let its connection in, which may be another one.
// codec is that of the servers.
func (g *Guard) ServerOptions(codec encoding.CodecV2) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(weighing{codec}),
		grpc.MaxConcurrentStreams(g.limits.Streams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.InTapHandle(g.tap),
		grpc.ChainUnaryInterceptor(g.unary),
		grpc.ChainStreamInterceptor(g.stream),
		grpc.UnknownServiceHandler(g.unknown),
	}
}

// unknown refuses a call of a method that is not served.
func (g *Guard) unknown(_ any, stream grpc.ServerStream) error {
	g.Count("calls of what is not offered")
	method, _ := grpc.MethodFromServerStream(stream)
	return status.Errorf(codes.Unimplemented, "%s is not offered at this address", method)
}

// maxHeader bounds the headers of a call, in bytes; gRPC's own bound is 16 MiB.
const maxHeader = 16 << 10

func (g *Guard) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ctx, nil
	}
	c := connOf(p.Addr)
	if c == nil {
		return ctx, nil
	}
	x, err := c.guard.begin(c, info.FullMethodName)
	if err != nil {
		return ctx, err
	}
	context.AfterFunc(ctx, x.end) // gRPC ends the context of each call
	return context.WithValue(ctx, callKey{}, x), nil
}

// begin counts a call, or returns why it may not be.
func (g *Guard) begin(c *conn, method string) (*call, error) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.quiet != nil {
		c.quiet.Stop()
		c.quiet = nil
	}
	i, known := g.byMethod[method]
	if !known {
		i = g.others
	}
	x := &call{conn: c, limit: i}
	if i < 0 {
		return x, nil
	}
	l := &g.limits.Calls[i]
	var err error
	switch {
	case over(g.calls[i], l.InAll):
		err = exhausted("%d %s are open here, no more are allowed at once", l.InAll, l.Bound)
	case over(c.calls[i], l.OfConnection):
		err = exhausted("%d %s are open on this connection, no more are allowed at once", l.OfConnection, l.Bound)
	case !c.source.opening[i].Take(l.Opening, now):
		err = exhausted("%s are opened too fast, more than %d a second; wait, and try again", l.Bound, l.Opening.PerSecond)
	default:
		g.calls[i]++
		c.calls[i]++
		return x, nil
	}
	g.tally.Reach(l.Bound, c.from)
	g.givenUp(c, now)
	return nil, err
}

// givenUp counts a call that was given up or refused; it has the connection closed when there
// are too many. g.mu is held.
func (g *Guard) givenUp(c *conn, now time.Time) {
	if !c.gone && !c.source.givenUp.Take(g.limits.GivenUp, now) {
		go c.cut(boundGivenUp) // gRPC holds a lock of its own
	}
}

// returned notes that the call's handler has returned while the caller was still there. Its
// place is free before the caller has the answer, and may begin the next call.
func (x *call) returned() {
	g := x.conn.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	x.answered = true
	x.free()
}

// end notes that the call is over.
func (x *call) end() {
	g := x.conn.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	if !x.answered {
		x.free()
		g.givenUp(x.conn, time.Now())
	}
}

// free gives the call's place to another one, once: the caller may give it up at the moment
// at which its handler returns. Guard.mu is held.
func (x *call) free() {
	if x.limit < 0 || x.freed {
		return
	}
	x.freed = true
	x.conn.guard.calls[x.limit]--
	x.conn.calls[x.limit]--
}

func callOf(ctx context.Context) *call {
	x, _ := ctx.Value(callKey{}).(*call)
	return x
}

func (g *Guard) unary(ctx context.Context, q any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	r, err := handler(ctx, q)
	x := callOf(ctx)
	if x == nil {
		return r, err
	}
	if ctx.Err() == nil {
		x.returned()
	}
	if x.limit < 0 || err != nil {
		return r, err
	}
	return &answer{message: r, conn: x.conn, within: x.conn.guard.limits.Calls[x.limit].Taken}, nil
}

func (g *Guard) stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	x := callOf(stream.Context())
	if x == nil {
		return handler(srv, stream)
	}
	if x.limit >= 0 && !x.conn.guard.limits.Calls[x.limit].OwnWindow {
		stream = &weighed{stream, x.conn}
	}
	err := handler(srv, stream)
	if stream.Context().Err() == nil {
		x.returned()
	}
	return err
}

// A weighed stream counts what is sent and not taken.
type weighed struct {
	grpc.ServerStream
	conn *conn
}

func (s *weighed) SendMsg(m any) error {
	return s.ServerStream.SendMsg(&answer{message: m, conn: s.conn})
}
