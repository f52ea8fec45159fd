// Package counted wraps connections so that somebody who sees only whole frames can
// tell whether bytes still come: a slow peer in the middle of a large frame from a
// dead one.
package counted

import (
	"net"
	"sync"
	"sync/atomic"
)

// A Counter counts the bytes that have been read from a connection. It is safe for
// concurrent use; the zero value is ready.
type Counter struct{ n atomic.Uint64 }

// Heard returns a number that changes whenever bytes come. It never decreases.
func (c *Counter) Heard() uint64 { return c.n.Load() }

// Conn returns conn with the bytes that are read from it counted by c. It shows
// nothing of conn but net.Conn, so that gRPC does not set TCP_USER_TIMEOUT on it: a
// peer that is slow to acknowledge is judged by who counts.
func Conn(conn net.Conn, c *Counter) net.Conn { return &counting{Conn: conn, counter: c} }

type counting struct {
	net.Conn
	counter *Counter
	ready   ready // for ReadOnReady; nil until it is called
	closed  func()
	once    sync.Once
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.counter.n.Add(uint64(n))
	}
	return n, err
}

// NetConn returns the connection inside, as that of tls.Conn does.
func (c *counting) NetConn() net.Conn { return c.Conn }

func (c *counting) Close() error {
	if c.closed != nil {
		c.once.Do(c.closed)
	}
	return c.Conn.Close()
}

// An Addr is the address of the other end of a connection that a Listener has
// accepted, with the counter of that connection. gRPC shows it to a handler as the
// address of its peer.
type Addr struct {
	net.Addr
	*Counter
	// Listener is the one that has accepted the connection.
	Listener *Listener
}

type accepted struct {
	counting
	remote Addr
}

func (c *accepted) RemoteAddr() net.Addr { return c.remote }

// A Listener counts what its connections bring, and keeps a list of them, so that
// those that the server above does not yet know of can be closed too.
type Listener struct {
	net.Listener

	mu     sync.Mutex
	conns  map[*accepted]struct{}
	closed bool
}

// Listen wraps l. The caller must close the result instead of l.
func Listen(l net.Listener) *Listener {
	return &Listener{Listener: l, conns: make(map[*accepted]struct{})}
}

// Accept waits for the next connection. Its remote address is an Addr.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	counter := new(Counter)
	c := &accepted{remote: Addr{Addr: conn.RemoteAddr(), Counter: counter, Listener: l}}
	c.Conn, c.counter = conn, counter
	c.closed = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// CloseAll closes the listener and every connection it has accepted. It may be called
// again.
func (l *Listener) CloseAll() {
	_ = l.Close()
	l.mu.Lock()
	l.closed = true
	all := make([]*accepted, 0, len(l.conns))
	for c := range l.conns {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}
