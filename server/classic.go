package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kbus-limpet/limpet/limpet"
)

// acceptPause is how long accepting rests after a failure: mostly it is that of
// file descriptors, which others give back.
const acceptPause = 100 * time.Millisecond

// serveClassic accepts links of the old socket protocol until the listener is
// closed.
func (h *host) serveClassic(l net.Listener) error {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			h.node.Log().Warn("accepting a link", "address", l.Addr().String(), "error", err)
			if !wait(h.ctx, acceptPause) {
				return fmt.Errorf("serving %s: %w", l.Addr(), err)
			}
			continue
		}
		_, err = h.accept(conn.RemoteAddr(), " classic", func(record *limpet.Link) error {
			return limpet.AcceptClassic(h.ctx, record, conn, h.cfg)
		})
		if err != nil {
			h.node.Log().Warn("refusing a link", "from", conn.RemoteAddr().String(), "reason", err)
			_ = conn.Close()
		}
	}
}

// wait is false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
