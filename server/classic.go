package server

import (
	"errors"
	"fmt"
	"net"

	"github.com/kbus-limpet/limpet/limpet"
)

// serveClassic accepts links of the old socket protocol until the listener is
// closed.
func (h *host) serveClassic(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serving %s: %w", l.Addr(), err)
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
