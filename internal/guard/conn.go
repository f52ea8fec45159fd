package guard

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// A conn is a connection that may stay.
type conn struct {
	net.Conn
	guard  *Guard
	source *source
	from   string // the source's name
	once   sync.Once

	// Guarded by guard.mu.
	calls   []int // by index in Limits.Calls
	untaken int   // bytes
	quiet   *time.Timer
	gone    bool
}

// An Addr is the remote address of a connection that a guard has let in.
type Addr struct {
	net.Addr
	conn *conn
}

// RemoteAddr returns an Addr.
func (c *conn) RemoteAddr() net.Addr { return Addr{c.Conn.RemoteAddr(), c} }

// NetConn returns the connection inside, as that of crypto/tls does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// SyscallConn is the inner connection's.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Close closes the connection, and gives its place to another one.
func (c *conn) Close() error {
	c.once.Do(func() {
		g := c.guard
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.conns, c)
		c.source.conns--
		c.gone = true
		g.untaken -= c.untaken
		if c.quiet != nil {
			c.quiet.Stop()
		}
	})
	return c.Conn.Close()
}

// cut closes the connection because of a bound.
func (c *conn) cut(bound string) {
	c.guard.mu.Lock()
	gone := c.gone
	if !gone {
		c.guard.tally.Reach(bound, c.from)
	}
	c.guard.mu.Unlock()
	if !gone {
		_ = c.Close()
	}
}

// connOf returns the connection that an address is of, nil if no guard has let it in.
func connOf(a net.Addr) *conn {
	if g, ok := bare(a).(Addr); ok {
		return g.conn
	}
	return nil
}

// bare returns the Addr, or else the address, that other addresses are around.
func bare(a net.Addr) net.Addr {
	for {
		outer, ok := a.(interface{ Unwrap() net.Addr })
		if !ok {
			return a
		}
		a = outer.Unwrap()
	}
}

// Source returns the name of the source that a connection is of, by its remote address. If
// no guard has let it in, all Unix sockets are one.
func Source(a net.Addr) string {
	if c := connOf(a); c != nil {
		return c.from
	}
	if a == nil {
		return "unknown"
	}
	return host(bare(a))
}

// sourceOf returns the name of who has opened a connection: on TCP the address, of which
// 64 bits count of IPv6, on a Unix socket the process.
func sourceOf(c net.Conn) string {
	if _, local := c.RemoteAddr().(*net.UnixAddr); local {
		if name, ok := processOf(c); ok {
			return name
		}
	}
	return host(c.RemoteAddr())
}

func host(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return a.Network()
	}
	if ip := tcp.IP.To4(); ip != nil {
		return ip.String()
	}
	return tcp.IP.Mask(net.CIDRMask(64, 128)).String() + "/64"
}
