package web

import (
	"context"
	"net"
	"sync"

	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// Roads is where a gRPC server accepts the connections that stand for those of HTTP. It is safe
// for concurrent use.
type Roads struct {
	ready  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newRoads() *Roads {
	return &Roads{ready: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for the next connection.
func (r *Roads) Accept() (net.Conn, error) {
	select {
	case c := <-r.ready:
		return c, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. It may be called again.
func (r *Roads) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// Addr returns an address that nobody can dial.
func (r *Roads) Addr() net.Addr { return roadAddr{} }

type roadAddr struct{}

func (roadAddr) Network() string { return "web" }
func (roadAddr) String() string  { return "the door for HTTP" }

// dial returns the near end of a connection that stands for another one.
func (r *Roads) dial(ctx context.Context, of identity.Known) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case r.ready <- &road{far, of}:
		return near, nil
	case <-r.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// A road is the far end: its bytes come from this process, all else is said of the connection
// that it stands for.
type road struct {
	net.Conn
	of identity.Known
}

// RemoteAddr returns who is at the other end, as guards know it.
func (r *road) RemoteAddr() net.Addr { return r.of.RemoteAddr() }

// Identity is identity.Known's.
func (r *road) Identity() (rules.Identity, identity.Transport, error) { return r.of.Identity() }
