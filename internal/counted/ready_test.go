package counted_test

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/kbus-limpet/limpet/internal/counted"
)

// A pool counts the buffers that are out.
type pool struct{ out, gets atomic.Int64 }

func (p *pool) Get(n int) *[]byte { p.out.Add(1); p.gets.Add(1); b := make([]byte, n); return &b }
func (p *pool) Put(*[]byte)       { p.out.Add(-1) }

type readyReader interface {
	ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error)
}

// gRPC reads from the connections in this way, and holds no buffer of a connection on
// which nothing comes.
func TestReadOnReady(t *testing.T) {
	tcp := func(t *testing.T) (net.Conn, net.Conn) { return pair(t, listen(t)) }
	piped := func(t *testing.T) (net.Conn, net.Conn) {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close() })
		return a, counted.Conn(b, new(counted.Counter))
	}
	for name, connect := range map[string]func(*testing.T) (net.Conn, net.Conn){"socket": tcp, "pipe": piped} {
		t.Run(name, func(t *testing.T) {
			a, b := connect(t)
			var p pool
			r, ok := b.(readyReader)
			if !ok {
				t.Fatalf("%T has no ReadOnReady", b)
			}
			sent := make(chan error)
			for _, what := range []string{"hello", "again"} {
				go func() { _, err := a.Write([]byte(what)); sent <- err }()
				buf, n, err := r.ReadOnReady(100, &p)
				if err != nil || string((*buf)[:n]) != what || p.out.Load() != 1 {
					t.Fatalf("%d bytes, %v, %d buffers", n, err, p.out.Load())
				}
				p.Put(buf)
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
			}
			if addr, ok := b.RemoteAddr().(counted.Addr); ok && addr.Heard() != 10 {
				t.Errorf("%d bytes counted", addr.Heard())
			}
			a.Close()
			if buf, n, err := r.ReadOnReady(100, &p); buf != nil || n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("%v, %d bytes, %v at the end", buf, n, err)
			}
			b.Close()
			if buf, _, err := r.ReadOnReady(100, &p); buf != nil || err == nil {
				t.Errorf("%v, %v after Close", buf, err)
			}
			if n := p.out.Load(); n != 0 {
				t.Errorf("%d buffers are lost", n)
			}
		})
	}
}

// Close ends a read that waits, which holds no buffer.
func TestCloseEndsReadOnReady(t *testing.T) {
	_, b := pair(t, listen(t))
	tried := make(chan struct{}, 10)
	p := &noticing{tried: tried}
	ended := make(chan error)
	go func() {
		_, _, err := b.(readyReader).ReadOnReady(100, p)
		ended <- err
	}()
	<-tried
	b.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if n := p.out.Load(); n != 0 {
		t.Errorf("%d buffers are lost", n)
	}
}

// A noticing pool tells when a buffer comes back.
type noticing struct {
	pool
	tried chan struct{}
}

func (p *noticing) Put(b *[]byte) { p.pool.Put(b); p.tried <- struct{}{} }
