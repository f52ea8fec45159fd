package counted

import (
	"io"
	"net"
	"os"
	"syscall"

	"google.golang.org/grpc/mem"
)

// ReadOnReady waits for bytes, and only then takes a buffer of size bytes from pool to read
// them into. It returns the buffer, which the caller owns, and how many bytes are in it, or
// Read's error and no buffer. gRPC reads with it if a connection has it: one on which
// nothing comes, as that of an idle program, holds no buffer then, in place of 32 KiB. It
// must not run more than once at a time.
func (c *counting) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	if c.ready == nil {
		c.ready = newReady(c.Conn)
	}
	buf, n, err := c.ready(size, pool)
	switch {
	case err != nil:
	case n == 0:
		err = io.EOF
	default:
		c.counter.n.Add(uint64(n))
		return buf, n, nil
	}
	if buf != nil {
		pool.Put(buf)
	}
	return nil, 0, err
}

// A ready reads as ReadOnReady does, but may return a buffer with an error, and 0 bytes
// without one.
type ready func(size int, pool mem.BufferPool) (*[]byte, int, error)

// newReady returns how to read conn. Where the system's way to wait for bytes is not known
// it holds a buffer meanwhile.
func newReady(conn net.Conn) ready {
	if s, ok := conn.(syscall.Conn); ok && canTry {
		if raw, err := s.SyscallConn(); err == nil {
			return readRaw(conn, raw)
		}
	}
	return func(size int, pool mem.BufferPool) (*[]byte, int, error) {
		buf := pool.Get(size)
		n, err := conn.Read(*buf)
		if n > 0 { // an error comes again
			err = nil
		}
		return buf, n, err
	}
}

func readRaw(conn net.Conn, raw syscall.RawConn) ready {
	var attempt struct { // of one call after the other, here so that none allocates
		size int
		pool mem.BufferPool
		buf  *[]byte
		n    int
		err  error
	}
	a := &attempt
	try := func(fd uintptr) (done bool) {
		a.buf = a.pool.Get(a.size)
		var again bool
		if a.n, again, a.err = tryRead(fd, *a.buf); again {
			a.pool.Put(a.buf)
			a.buf = nil
		}
		return !again
	}
	return func(size int, pool mem.BufferPool) (*[]byte, int, error) {
		a.size, a.pool = size, pool
		if err := raw.Read(try); err != nil {
			a.err = err
		} else if a.err != nil {
			a.err = &net.OpError{Op: "read", Net: conn.LocalAddr().Network(), Source: conn.LocalAddr(), Addr: conn.RemoteAddr(), Err: os.NewSyscallError("read", a.err)}
		}
		buf, n, err := a.buf, a.n, a.err
		a.pool, a.buf, a.n, a.err = nil, nil, 0, nil
		return buf, n, err
	}
}
