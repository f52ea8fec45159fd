package daemon

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kbus-limpet/limpet/client/peer"
	"github.com/kbus-limpet/limpet/internal/counted"
	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet"
)

// A configuredLink is a LinkConfig that the daemon has opened. Its Limpet is not nil.
type configuredLink struct {
	cfg atomic.Pointer[LinkConfig]
	tls atomic.Pointer[identity.TLS] // of its connections over TCP; nil is none

	// One of these, if it listens.
	peers   *counted.Listener
	classic net.Listener

	ended atomic.Bool             // its listener is closed because nobody wants it any more
	stop  context.CancelCauseFunc // ends dialling; nil before it is started
	done  chan struct{}           // closed when dialling is over
}

// openLink opens the listener of a link that has one; group is for its Unix socket.
func (d *Daemon) openLink(ctx context.Context, c LinkConfig, group int) (*configuredLink, error) {
	l := new(configuredLink)
	l.cfg.Store(&c)
	t, err := d.tlsOf(&c)
	if err != nil {
		return nil, err
	}
	l.tls.Store(t)
	if !c.Listen {
		return l, nil
	}
	listener, err := d.cfg.listenAt(ctx, c.socket(), c.Address, sockaddr.Config{Group: group})
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", c.Kind(), err)
	}
	if c.Classic {
		l.classic = d.guards.classic.Listen(listener)
	} else {
		l.peers = counted.Listen(d.guards.peers.Listen(listener))
	}
	return l, nil
}

// tlsOf returns the TLS of a link: its own, or that of the daemon.
func (d *Daemon) tlsOf(c *LinkConfig) (*identity.TLS, error) {
	if c.TLS.files() == d.cfg.TLS.files() {
		return d.tls, nil
	}
	return c.TLS.load(d.cfg.Log)
}

// addr returns where peers can dial us; nil if they cannot.
func (l *configuredLink) addr() net.Addr {
	switch {
	case l.peers != nil:
		return l.peers.Addr()
	case l.classic != nil:
		return l.classic.Addr()
	default:
		return nil
	}
}

// limpet returns how the limpets of the link behave.
func (l *configuredLink) limpet() limpet.Config {
	c := l.cfg.Load()
	cfg := *c.Limpet
	cfg.Origin = c.Title()
	return cfg
}

// close closes the listener, and every connection that it has accepted for gRPC.
func (l *configuredLink) close() {
	if l.peers != nil {
		l.peers.CloseAll()
	}
	if l.classic != nil {
		_ = l.classic.Close()
	}
}

// configuredLinks are a daemon's, by their titles. It is safe for concurrent use.
type configuredLinks struct {
	mu  sync.Mutex
	all map[string]*configuredLink
}

// sorted returns the links by their titles.
func (s *configuredLinks) sorted() []*configuredLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*configuredLink
	for _, title := range slices.Sorted(maps.Keys(s.all)) {
		all = append(all, s.all[title])
	}
	return all
}

func (s *configuredLinks) put(l *configuredLink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[l.cfg.Load().Title()] = l
}

func (s *configuredLinks) get(title string) *configuredLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[title]
}

func (s *configuredLinks) remove(l *configuredLink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, l.cfg.Load().Title())
}

// limpetFor returns how the limpet of a peer behaves that has come in over gRPC from an
// address.
func (s *configuredLinks) limpetFor(from net.Addr) limpet.Config {
	if l := s.accepts(from); l != nil {
		return l.limpet()
	}
	return limpet.Config{}
}

// tlsFor returns the TLS for a peer that comes in over gRPC from an address.
func (s *configuredLinks) tlsFor(from net.Addr) *identity.TLS {
	if l := s.accepts(from); l != nil {
		return l.tls.Load()
	}
	return nil
}

// accepts returns the link at whose listener somebody comes in from an address; nil if there
// is none.
func (s *configuredLinks) accepts(from net.Addr) *configuredLink {
	a, ok := from.(counted.Addr)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.all {
		if l.peers == a.Listener {
			return l
		}
	}
	return nil
}

// named returns the link with a name, or title; nil if there is none.
func (s *configuredLinks) named(name string) *configuredLink {
	for _, l := range s.sorted() {
		if c := l.cfg.Load(); c.Title() == name || !c.Listen && c.name() == name {
			return l
		}
	}
	return nil
}

// openLinks opens those of the configuration, in its order. With an error some may be
// open.
func (d *Daemon) openLinks(ctx context.Context) error {
	group, _, err := d.cfg.groups()
	if err != nil {
		return err
	}
	for _, c := range d.cfg.resolved() {
		l, err := d.openLink(ctx, c, group)
		if err != nil {
			return err
		}
		d.linked.put(l)
	}
	return nil
}

// startLink has a link served or dialled. fail is told if its listener fails. Links that
// are dialled end with ctx.
func (d *Daemon) startLink(ctx context.Context, l *configuredLink, fail context.CancelCauseFunc) {
	c := l.cfg.Load()
	if !c.Listen {
		ctx, stop := context.WithCancelCause(ctx)
		l.stop, l.done = stop, make(chan struct{})
		dialler := &peer.Dialler{
			Node: d.node, Name: c.name(), Address: c.Address, Credentials: identity.Client(l.tls.Load(), c.TLSName), Classic: c.Classic, Limpet: l.limpet(),
		}
		d.dialling.Go(func() {
			defer close(l.done)
			defer stop(nil)
			dialler.Run(ctx)
		})
		return
	}
	serve := func() error { return serveGRPC(d.peers, l.peers) }
	if c.Classic {
		serve = func() error { return d.host.ServeClassic(l.classic, l.limpet) }
	}
	d.cfg.Log.Info("listening for peers", "classic", c.Classic, "address", l.addr().String())
	d.running.Go(func() {
		if err := serve(); err != nil && !l.ended.Load() {
			fail(err)
		}
	})
}

// endLink drains the links that there are because of l, and ends it: it is dialled no
// more, or its listener is closed.
func (d *Daemon) endLink(ctx context.Context, l *configuredLink, reason string) {
	if l.stop != nil {
		l.stop(peer.StopError(reason))
		<-l.done
		return
	}
	l.ended.Store(true)
	if l.peers != nil {
		_ = l.peers.Close()
	}
	if l.classic != nil {
		_ = l.classic.Close()
	}
	d.closeAccepted(ctx, l, reason)
	l.close()
	d.closeAccepted(ctx, l, reason) // those that were about to be linked
}

// closeAccepted drains the links that l has accepted. A peer that is still wanted dials
// again.
func (d *Daemon) closeAccepted(ctx context.Context, l *configuredLink, reason string) {
	var all sync.WaitGroup
	title := l.cfg.Load().Title()
	for _, p := range d.node.Peerings() {
		if p.Origin() == title && !p.Dialled() {
			all.Go(func() { p.Close(ctx, reason) })
		}
	}
	all.Wait()
}
