package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/classic"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// maxStreams bounds how many peers may be linked, or try to be, at once.
const maxStreams = 1024

var (
	errTooMany  = fmt.Errorf("%d links are being served here, there can be no more until one ends", maxStreams)
	errStopping = errors.New("the daemon is stopping")
)

// A Host accepts links of either protocol for one node. Its methods are safe for
// concurrent use.
type Host struct {
	node  *limpet.Node
	cfg   func(from net.Addr) limpet.Config
	ctx   context.Context // of all streams
	stop  context.CancelCauseFunc
	slots chan struct{} // bounds the streams

	mu      sync.Mutex
	stopped bool
	serving sync.WaitGroup
}

// NewHost returns a host. cfg returns how the limpet of a link behaves that comes from an
// address over gRPC; it may be called by many goroutines at once. Stop must be called.
func NewHost(node *limpet.Node, cfg func(from net.Addr) limpet.Config) *Host {
	h := &Host{node: node, cfg: cfg, slots: make(chan struct{}, maxStreams)}
	h.ctx, h.stop = context.WithCancelCause(context.Background())
	return h
}

// Stop ends the streams that are left and blocks until nothing of them runs. It does
// not drain: that is Node.Close, which comes before.
func (h *Host) Stop() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.stop(errStopping)
	h.serving.Wait()
}

// accept runs serve in a goroutine of its own, and returns a channel that gives why
// the stream ended. The error is errTooMany or errStopping.
func (h *Host) accept(serve func(context.Context) error) (<-chan error, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return nil, errStopping
	}
	select {
	case h.slots <- struct{}{}:
	default:
		return nil, errTooMany
	}
	ended := make(chan error, 1)
	h.serving.Go(func() {
		defer func() { <-h.slots }()
		ended <- serve(h.ctx)
	})
	return ended, nil
}

// refused logs a stream that did not become a link. A broken or ended link has been
// logged by its peering.
func (h *Host) refused(from net.Addr, err error) {
	var verdict *link.Error
	if errors.As(err, &verdict) && verdict.Refusal() || errors.Is(err, errTooMany) {
		h.node.Log().Warn("refusing a link", "from", name(from), "reason", err)
		return
	}
	h.node.Log().Debug("a stream has ended", "from", name(from), "reason", err)
}

func name(a net.Addr) string {
	if a == nil {
		return "unknown"
	}
	return a.Network() + ":" + a.String()
}

// ServeClassic accepts links of upstream's limpets until the listener is closed. It
// returns nil then, else the error of Accept. cfg returns how their limpets behave.
func (h *Host) ServeClassic(l net.Listener, cfg func() limpet.Config) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serving %s: %w", l.Addr(), err)
		}
		from := conn.RemoteAddr()
		_, err = h.accept(func(ctx context.Context) error {
			who, transport, err := identity.Of(conn)
			if err != nil {
				_ = conn.Close()
				h.refused(from, err)
				return err
			}
			err = h.node.AcceptClassic(ctx, limpet.Identify(classic.NewStream(conn, h.node.MaxMessageSize()), who, string(transport)), cfg())
			h.refused(from, err)
			return err
		})
		if err != nil {
			h.refused(from, err)
			_ = conn.Close()
		}
	}
}
