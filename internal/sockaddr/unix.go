package sockaddr

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// watchEvery is how often a listener looks whether its socket file is still there.
const watchEvery = 2 * time.Second

// A unixListener listens on a Unix socket at a path. Another program may remove the
// file, as upstream's limpets do with the path they have dialled, or a cleaner of
// /tmp; the listener then makes a new socket.
type unixListener struct {
	path string
	cfg  Config
	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex
	now    *bound
	closed bool
	lost   bool // the file is not ours, and could not be made anew
}

func listenUnix(ctx context.Context, path string, cfg Config) (*unixListener, error) {
	b, err := bind(ctx, path, cfg)
	if err != nil {
		return nil, err
	}
	l := &unixListener{path: path, cfg: cfg, now: b}
	l.ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.wg.Go(l.watch)
	return l, nil
}

func (l *unixListener) watch() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.check()
		case <-l.ctx.Done():
			return
		}
	}
}

// check listens again if the path does not lead to the socket any more. If that
// cannot be done, because another program listens there for example, the next check
// tries again.
func (l *unixListener) check() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.now.isAt(l.path) {
		l.lost = false
		return
	}
	b, err := bind(l.ctx, l.path, l.cfg)
	if err != nil {
		if !l.lost {
			l.cfg.Log.Warn("another program has removed the socket file, and it cannot be made again; nobody can connect", "path", l.path, "error", err)
		}
		l.lost = true
		return
	}
	l.cfg.Log.Warn("another program has removed the socket file; listening again", "path", l.path)
	old := l.now
	l.now, l.lost = b, false
	_ = old.Close() // wakes Accept, which goes on with the new one
}

// Accept waits for the next connection. After Close its error wraps net.ErrClosed.
func (l *unixListener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		b := l.now
		l.mu.Unlock()
		conn, err := b.Accept()
		if err == nil {
			return conn, nil
		}
		if op := (*net.OpError)(nil); errors.As(err, &op) {
			op.Addr = l.Addr() // not the temporary name
		}
		l.mu.Lock()
		replaced := b != l.now
		l.mu.Unlock()
		if !replaced {
			return nil, err
		}
	}
}

// Addr returns the path.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: l.path} }

// Close stops listening and removes the socket file, unless another program has put
// its own there.
func (l *unixListener) Close() error {
	l.stop()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return &net.OpError{Op: "close", Net: "unix", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.closed = true
	l.now.remove(l.path) // while the socket is open no other file has its inode number
	err := l.now.Close()
	l.mu.Unlock()
	l.wg.Wait()
	return err
}
