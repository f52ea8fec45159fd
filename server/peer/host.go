package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/internal/guard"
	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/classic"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// Bounds are how many links a host serves.
type Bounds struct {
	// Links bounds the peers that have greeted, be they linked or about to be.
	Links int
	// Greeting bounds the streams on which the peer has still to greet, GreetingOfSource
	// those of one source. Each has 10 s for it.
	Greeting, GreetingOfSource int
}

// DefaultBounds are those of a host that is told no others.
var DefaultBounds = Bounds{Links: 1024, Greeting: 256, GreetingOfSource: 64}

var errStopping = errors.New("the daemon is stopping")

// A Host accepts links of either protocol for one node. Its methods are safe for
// concurrent use.
type Host struct {
	node   *limpet.Node
	cfg    func(from net.Addr) limpet.Config
	bounds Bounds
	tally  *guard.Tally
	ctx    context.Context // of all streams
	stop   context.CancelCauseFunc

	mu       sync.Mutex
	stopped  bool
	links    int            // whose peer has greeted
	greeting int            // whose peer has not
	bySource map[string]int // of greeting
	serving  sync.WaitGroup
	lines    guard.Bucket // of the log, for refusals
	refusals int          // since the last line
}

// NewHost returns a host. cfg returns how the limpet of a link behaves that comes from an
// address over gRPC; it may be called by many goroutines at once. Stop must be called.
func NewHost(node *limpet.Node, cfg func(from net.Addr) limpet.Config, bounds Bounds) *Host {
	h := &Host{node: node, cfg: cfg, bounds: bounds, tally: guard.NewTally("peers", node.Log()), bySource: make(map[string]int)}
	h.ctx, h.stop = context.WithCancelCause(context.Background())
	return h
}

// Reached returns how often each bound was reached, of those that were.
func (h *Host) Reached() map[string]uint64 { return h.tally.Counts() }

// Stop ends the streams that are left and blocks until nothing of them runs. It does
// not drain: that is Node.Close, which comes before.
func (h *Host) Stop() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.stop(errStopping)
	h.serving.Wait()
}

// accept serves a stream in a goroutine of its own, and returns a channel that gives why it
// ended. The error is errStopping or a *link.Error.
func (h *Host) accept(stream link.Stream, from net.Addr, cfg limpet.Config, classic bool) (<-chan error, error) {
	source := guard.Source(from)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return nil, errStopping
	case h.greeting >= h.bounds.Greeting, h.bySource[source] >= h.bounds.GreetingOfSource:
		h.tally.Reach("links that have not greeted", source)
		return nil, link.Errorf(link.GoingAway, "%d links are being opened here, %d of them from %s, and have not greeted; wait, and try again", h.greeting, h.bySource[source], source)
	}
	h.greeting++
	h.bySource[source]++
	ended := make(chan error, 1)
	h.serving.Go(func() { ended <- h.serve(stream, from, source, cfg, classic) })
	return ended, nil
}

// serve hears a peer, and serves its link until the stream ends. Whoever says nothing takes
// no place of those who do.
func (h *Host) serve(stream link.Stream, from net.Addr, source string, cfg limpet.Config, classic bool) error {
	peer, err := h.node.Hear(h.ctx, stream, cfg, classic)
	h.mu.Lock()
	h.greeting--
	if h.bySource[source]--; h.bySource[source] == 0 {
		delete(h.bySource, source)
	}
	full := err == nil && h.links >= h.bounds.Links
	if err == nil && !full {
		h.links++
	}
	h.mu.Unlock()
	switch {
	case full:
		h.tally.Reach("links", source)
		err = link.Errorf(link.GoingAway, "%d links are being served here, there can be no more until one ends", h.bounds.Links)
		link.Refuse(stream, err, classic)
	case err == nil:
		err = h.node.Serve(h.ctx, stream, peer, cfg, classic)
		h.mu.Lock()
		h.links--
		h.mu.Unlock()
	}
	h.refused(from, err)
	return err
}

// refusalLines is how many lines the log has about links that were refused, at most.
var refusalLines = guard.Rate{PerSecond: 1, AtOnce: 16}

// refused logs a stream that did not become a link. A broken or ended link has been
// logged by its peering.
func (h *Host) refused(from net.Addr, err error) {
	var verdict *link.Error
	if !errors.As(err, &verdict) || !verdict.Refusal() {
		h.node.Log().Debug("a stream has ended", "from", name(from), "reason", err)
		return
	}
	h.tally.Count("links refused: " + verdict.Code.String())
	h.mu.Lock()
	h.refusals++
	n, say := h.refusals, h.lines.Take(refusalLines, time.Now())
	if say {
		h.refusals = 0
	}
	h.mu.Unlock()
	if !say {
		return
	}
	more := []any{"from", name(from), "reason", err}
	if n > 1 {
		more = append(more, "others_before", n-1)
	}
	h.node.Log().Warn("refusing a link", more...)
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
		who, transport, err := identity.Of(conn)
		if err != nil {
			_ = conn.Close()
			h.refused(conn.RemoteAddr(), err)
			continue
		}
		stream := limpet.Identify(classic.NewStream(conn, h.node.MaxMessageSize()), who, string(transport))
		if _, err := h.accept(stream, conn.RemoteAddr(), cfg(), true); err != nil {
			_ = conn.Close()
		}
	}
}
