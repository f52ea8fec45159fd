package contestants

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/kbus-limpet/limpet/bench/contest"
)

// relay is a floor: two processes that pass on frames between Unix sockets, as they are.
type relay struct{}

func (*relay) Name() string { return Floor }

func (*relay) About() string {
	return "a floor: frames with a length, passed on between Unix sockets by two processes that look into nothing"
}

func (*relay) Check(*contest.Setup) error { return nil }

func (*relay) Traits() contest.Traits { return contest.Traits{} }

func (*relay) Start(ctx context.Context, s *contest.Stage) (contest.Places, error) {
	return startChain(ctx, s, relayRole)
}

// startChain starts the far process of a floor, and then the near one, which dials it.
func startChain(ctx context.Context, s *contest.Stage, role string) (contest.Places, error) {
	places := contest.Places{filepath.Join(s.Dir, "near"), filepath.Join(s.Dir, "far")}
	if err := startReady(ctx, s, role, places[contest.Far]); err != nil {
		return places, err
	}
	return places, startReady(ctx, s, role, places[contest.Near], places[contest.Far])
}

func (*relay) Join(_ context.Context, _ contest.Side, place string) (contest.Bus, error) {
	return relayBus(place), nil
}

const relayRole = "relay"

// playRelay has the arguments path to listen at, and path to dial, if there is one.
func playRelay(args []string) error {
	l, err := new(net.ListenConfig).Listen(context.Background(), unix, args[0])
	if err != nil {
		return err
	}
	h := new(hub)
	if len(args) > 1 {
		conn, err := new(net.Dialer).DialContext(context.Background(), unix, args[1])
		if err != nil {
			return err
		}
		go h.serve(conn)
	}
	if _, err := fmt.Fprintln(os.Stdout, ready); err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go h.serve(conn)
	}
}

// A hub passes what comes on each connection on to all others.
type hub struct {
	mu    sync.RWMutex
	conns []*frameConn
}

// A frameConn writes frames. It is safe for concurrent use.
type frameConn struct {
	mu sync.Mutex
	w  *bufio.Writer
}

const bufferBytes = 64 << 10

func newFrameConn(conn net.Conn) *frameConn {
	return &frameConn{w: bufio.NewWriterSize(conn, bufferBytes)}
}

func (c *frameConn) write(parts ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range parts {
		if _, err := c.w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *frameConn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.w.Flush()
}

// serve reads a connection until it ends. It flushes when there is nothing more to read.
func (h *hub) serve(conn net.Conn) {
	from := newFrameConn(conn)
	h.mu.Lock()
	h.conns = append(h.conns[:len(h.conns):len(h.conns)], from)
	h.mu.Unlock()
	r := bufio.NewReaderSize(conn, bufferBytes)
	buf := make([]byte, frameHeader)
	for {
		var err error
		if buf, err = readFrame(r, buf); err != nil {
			return
		}
		h.mu.RLock()
		conns := h.conns
		h.mu.RUnlock()
		for _, to := range conns {
			if to == from {
				continue
			}
			_ = to.write(buf) // who is gone reads no more
			if r.Buffered() == 0 {
				_ = to.flush()
			}
		}
	}
}
