package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/kbus-limpet/limpet/internal/events"
	"github.com/kbus-limpet/limpet/internal/flight"
	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/internal/records"
	"github.com/kbus-limpet/limpet/internal/tracing"
	"github.com/kbus-limpet/limpet/internal/web"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/kbusfs"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/wire"
	"github.com/kbus-limpet/limpet/server/admin"
	"github.com/kbus-limpet/limpet/server/bus"
	serverpeer "github.com/kbus-limpet/limpet/server/peer"
)

// stopReason is what peers are told.
const stopReason = "the daemon is stopping"

// drainMargin is how long the links may take to end beyond their drain timeout.
const drainMargin = 2 * time.Second

// A Daemon is a bus with its links and everything that is served. Open makes it, Run
// runs it.
type Daemon struct {
	cfg      Config
	set      *membus.Set
	node     *limpet.Node
	at       *listeners
	rules    rulebook
	guards   *guards
	registry *prometheus.Registry
	host     *serverpeer.Host
	programs *bus.Service
	devices  *kbusfs.Server // nil if the bus is not exposed
	admin    *admin.Service
	peers    *grpcServer
	api      *grpcServer
	door     *web.Door // nil if nothing is served over HTTP
	alive    prober
	draining chan struct{}  // closed when the stop begins
	tls      *identity.TLS  // nil without TLS
	stopping kbusdev.Ksock  // listens for the termination message; nil if there is none
	links    *announcer     // nil without AnnounceLinks
	dropped  *dropAnnouncer // nil without AnnounceDrops
	linked   configuredLinks
	exposed  atomic.Pointer[[]string] // what Insecure allows
	shown    atomic.Pointer[string]   // Config.Shown
	reloads  reloads
	events   *events.Ring

	flight       *flight.Recorder    // nil if it is off
	records      *records.Folder     // nil if nothing is recorded
	traces       *tracing.Exporter   // nil if nothing is traced
	tracesOption []grpc.ServerOption // of the API, for that

	running, dialling sync.WaitGroup // what serves, and what dials

	reloading sync.Mutex // held while the configuration changes
	runs      *run       // nil unless the daemon runs
}

// Open opens the bus and all listeners. Programs and peers can connect then, but are
// served only by Run, which must be called. The error is a *ConfigError if it can be
// mended by another configuration.
func Open(ctx context.Context, cfg Config) (*Daemon, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	latest := events.New()
	cfg.Log = slog.New(latest.Handler(cfg.Log.Handler()))
	if cfg.Bounds == nil {
		bounds := DefaultBounds()
		cfg.Bounds = &bounds
	}
	cfg.Links = cfg.resolved()
	d := &Daemon{
		cfg:    cfg,
		events: latest,
		linked: configuredLinks{all: make(map[string]*configuredLink)},
		guards: newGuards(cfg.Bounds, cfg.Log),
		set:    membus.NewSet(membus.WithFirstSerial(cmp.Or(cfg.FirstSerial, 1+rand.Uint32()>>1))),
	}
	b, notice, err := cfg.OpenBus(d.set)
	if err != nil {
		return nil, err
	}
	if notice != "" {
		cfg.Log.Info("the bus is embedded", "reason", notice)
	}
	if d.node, err = limpet.NewNode(b, max(cfg.NetworkID, 1), cfg.Log); err != nil { // an id that nobody sees if there is no link
		return nil, err
	}
	d.node.SetSoftware(cfg.Version)
	d.node.BoundNames(cmp.Or(cfg.PeerNames, defaultPeerNames), 2*cmp.Or(cfg.PeerNames, defaultPeerNames))
	noteMisses(d.node)
	d.draining, d.alive.question = make(chan struct{}), func() error { return touch(d.node) }
	if err := d.open(ctx); err != nil {
		d.closeEarly()
		return nil, err
	}
	return d, nil
}

// open makes what the node is served by.
func (d *Daemon) open(ctx context.Context) (err error) {
	cfg := &d.cfg
	d.programs = bus.New(d.node.Bus(), bus.WithProgramGrace(cmp.Or(cfg.ProgramGrace, bus.DefaultProgramGrace)), bus.WithProgramBytes(cfg.Bounds.ProgramBytes), bus.WithLog(cfg.Log))
	d.programs.LinkOf = linkOf(d.node)
	d.node.ExplainHears(d.hears)
	if cfg.IdentityOf == nil {
		cfg.IdentityOf = identity.FromContext
	}
	d.programs.IdentityOf, d.programs.PolicyOf, d.programs.OnDenied = cfg.IdentityOf, d.rules.program, d.programDenied
	if cfg.Expose != "" {
		devices := cfg.devices(d.set, d.rules.device, cfg.Log)
		devices.OnDenied = d.deviceDenied
		d.devices = kbusfs.New(devices)
	}
	d.host = serverpeer.NewHost(d.node, d.linked.limpetFor, cfg.Bounds.Links) // before what can fail: closeEarly stops it
	if err := d.openTraces(ctx); err != nil {
		return err
	}
	if err := d.openRecords(); err != nil {
		return err
	}
	if err := d.SetRules(cfg.Rules, cfg.Tests); err != nil {
		return &ConfigError{"rules", err}
	}
	rpcs := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram())
	if d.registry, err = d.newRegistry(rpcs); err != nil {
		return err
	}
	if cfg.Limpet.Termination != "" {
		if d.stopping, err = listenForTermination(d.node, cfg.Limpet.Termination); err != nil {
			return err
		}
	}
	if cfg.AnnounceLinks {
		if d.links, err = newAnnouncer(d.node); err != nil {
			return err
		}
	}
	if cfg.AnnounceDrops {
		if d.dropped, err = newDropAnnouncer(d.node); err != nil {
			return err
		}
	}
	if d.tls, err = cfg.TLS.load(cfg.Log); err != nil {
		return err
	}
	peers := identity.ServerBy(func(c net.Conn) *identity.TLS { return d.linked.tlsFor(c.RemoteAddr()) }, cfg.Log, refusedBy(d.guards.peers))
	d.peers = peerServer(cfg.Log, peers, rpcs, d.host, cfg.Reflection == reflectionPeers, d.guards.peers.ServerOptions(wire.Codec)...)
	d.admin = &admin.Service{
		Node: d.node, Version: cfg.Version, Started: time.Now(), Missed: d.programs.Missed, Denied: d.denied, Reached: d.reached,
		SpansLost: d.spansLost, Explains: d.explain, SenderOf: d.senderOf, Reloads: d.reloadFor, Insecure: d.insecure,
		Events: d.events, Programs: d.programs.Programs, Verdicts: d.rules.verdicts,
		Configuration: func() string { return *d.shown.Load() },
		PolicyOf:      func(ctx context.Context) *rules.Policy { return d.rules.program(cfg.IdentityOf(ctx)) },
		Count:         d.guards.programs.Count,
	}
	who := identity.Server(d.tls, cfg.Log, refusedBy(d.guards.programs))
	d.shown.Store(&cfg.Shown)
	if d.tls != nil {
		d.admin.CertificateExpires = d.tls.ValidUntil
	}
	if err := d.openFlight(); err != nil {
		return err
	}
	d.api = apiServer(cfg.Log, who, rpcs, &authoriser{&d.rules, cfg.IdentityOf, d.guards.programs.Count}, d.node, d.programs, d.admin, cfg.Reflection != reflectionNone, append(d.guards.programs.ServerOptions(wire.Codec), d.tracesOption...)...)
	d.api.health.Alive = d.Alive
	if err := d.openDoor(); err != nil {
		return err
	}
	if err := d.openLinks(ctx); err != nil {
		return err
	}
	d.at, err = listen(ctx, cfg, d.guards)
	return err
}

// reached returns how often each bound was reached, by who met it and the bound.
func (d *Daemon) reached() map[string]map[string]uint64 {
	peers := d.guards.peers.Reached()
	maps.Copy(peers, d.host.Reached())
	programs := d.guards.programs.Reached()
	maps.Copy(programs, d.programs.Reached())
	return map[string]map[string]uint64{"peers": peers, "programs": programs, "classic peers": d.guards.classic.Reached(), "web": d.guards.web.Reached()}
}

// linkOf tells the service of programs which Ksocks are those of limpets.
func linkOf(n *limpet.Node) func(kbusdev.KsockID) (bus.Link, bool) {
	return func(k kbusdev.KsockID) (bus.Link, bool) {
		p, peer := n.PeeringOf(k)
		if p == nil {
			return bus.Link{}, false
		}
		return bus.Link{Name: p.Name(), NetworkID: peer.NetworkID}, true
	}
}

// closeEarly gives back what open has made.
func (d *Daemon) closeEarly() {
	closeLinks(d.linked.sorted())
	d.closeKsocks()
	d.node.Close(context.Background(), stopReason)
	d.host.Stop()
	d.programs.Close()
	d.runTraces()()
	d.runFlight()()
	d.closeRecords()
}

func (d *Daemon) closeKsocks() {
	if d.stopping != nil {
		_ = d.stopping.Close()
	}
	if d.links != nil {
		d.links.close()
	}
	if d.dropped != nil {
		d.dropped.close()
	}
}

// Log returns the daemon's log, which keeps the latest events too.
func (d *Daemon) Log() *slog.Logger { return d.cfg.Log }

// Node returns the daemon's node.
func (d *Daemon) Node() *limpet.Node { return d.node }

// Draining returns a channel that is closed when Run begins to stop.
func (d *Daemon) Draining() <-chan struct{} { return d.draining }

// PeerAddrs returns where peers can dial, in the order of Config.Links.
func (d *Daemon) PeerAddrs() []net.Addr {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	var all []net.Addr
	for _, c := range d.cfg.Links {
		if l := d.linked.get(c.Title()); l != nil && c.Listen {
			all = append(all, l.addr())
		}
	}
	return all
}

// MetricsAddr returns where metrics are served; nil if they are not.
func (d *Daemon) MetricsAddr() net.Addr {
	if d.at.metrics == nil {
		return nil
	}
	return d.at.metrics.Addr()
}

// Run serves until parent ends or the termination message is read; then it returns nil,
// else what failed. ready, unless nil, is called when everything is being served.
//
// At the end the links are drained first: peers are told, and what is open may finish
// within the drain timeout, for which programs are still served. Then everything is
// closed. That takes at most the drain timeout and a few seconds, whatever is open, and
// nothing is left running. Run is called once.
func (d *Daemon) Run(parent context.Context, ready func()) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	d.node.OnTerminated(func() { cancel(limpet.ErrTerminated) })
	defer d.runTraces()()
	defer d.runFlight()()
	defer d.closeRecords()

	// What serves goes on during the drain.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	keep := func(what func() error) {
		d.running.Go(func() {
			if err := what(); err != nil && serving.Err() == nil {
				cancel(err)
			}
		})
	}
	d.reloading.Lock()
	d.runs = &run{ctx: ctx, fail: cancel}
	for _, l := range d.linked.sorted() {
		d.startLink(ctx, l, cancel)
	}
	d.reloading.Unlock()
	d.sayStart()
	d.serve(serving, keep, func() {
		d.reloading.Lock()
		d.api.health.Started(d.cfg.dialled())
		d.reloading.Unlock()
		if ready != nil {
			ready()
		}
	})
	if d.stopping != nil {
		keep(func() error { return awaitTermination(serving, d.stopping) })
	}
	if d.links != nil {
		keep(func() error { return d.links.run(serving) })
	}
	if d.dropped != nil {
		keep(func() error { return d.dropped.run(serving) })
	}

	<-ctx.Done()
	close(d.draining)
	d.reloading.Lock() // until one that is under way has ended
	d.runs = nil
	d.reloading.Unlock()
	d.drain(serving)
	d.dialling.Wait()
	stop()
	d.shut()
	d.running.Wait()
	why := context.Cause(ctx)
	if errors.Is(why, limpet.ErrTerminated) || parent.Err() != nil {
		d.cfg.Log.Info("limpetd stops", "reason", why)
		return nil
	}
	return why
}

// serve starts everything that is reached from outside.
func (d *Daemon) serve(ctx context.Context, keep func(func() error), ready func()) {
	for _, l := range d.at.api {
		keep(func() error { return serveGRPC(d.api, l) })
	}
	if d.at.metrics != nil {
		keep(func() error { return serveMetrics(ctx, d.at.metrics, d.registry) })
	}
	if d.door != nil {
		keep(func() error { return serveGRPC(d.api, d.door.Roads()) })
		keep(func() error { return d.serveDoor(ctx, d.at.web) })
	}
	if d.devices != nil {
		keep(func() error { return d.devices.Run(ctx, ready) })
		keep(func() error { return d.devices.ServeControl(ctx, d.at.control) })
	} else {
		ready()
	}
}

func serveGRPC(s *grpcServer, l net.Listener) error {
	if err := s.Serve(l); err != nil {
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	return nil
}

// drain ends all links in good order.
func (d *Daemon) drain(ctx context.Context) {
	d.peers.health.Stop()
	d.api.health.Stop()
	ctx, cancel := context.WithTimeout(ctx, d.drainTimeout()+drainMargin)
	defer cancel()
	d.node.Close(ctx, stopReason)
}

func (d *Daemon) drainTimeout() time.Duration {
	return cmp.Or(d.cfg.Limpet.DrainTimeout, 5*time.Second)
}

// lastAnswers is how long the answers to programs' calls may take to get out.
const lastAnswers = 500 * time.Millisecond

// shut closes everything, after the calls of programs have had their answers: the one
// that has sent the termination message for example.
func (d *Daemon) shut() {
	d.closeKsocks()
	d.programs.Close()
	d.admin.Close()
	late := time.AfterFunc(lastAnswers, d.at.close) // with connections that have said nothing yet, which gRPC would wait for
	d.api.GracefulStop()
	late.Stop()
	d.at.close()
	for _, l := range d.linked.sorted() {
		l.ended.Store(true)
		l.close()
	}
	d.host.Stop()
	d.peers.Stop()
	d.api.Stop()
}

func (d *Daemon) sayStart() {
	log := d.cfg.Log
	for _, l := range d.at.api {
		log.Info("offering the local API", "address", l.Addr().String())
	}
	if d.at.web != nil {
		log.Info("offering the API and a page over HTTP", "address", d.at.web.Addr().String())
	}
	if d.tls != nil {
		log.Info("connections over TCP are encrypted", "certificate_of", d.tls.Identity())
	}
	d.sayInsecure()
	log.Info("limpetd is running", "version", d.cfg.Version, "bus", d.node.Bus().String(), "network_id", d.cfg.NetworkID, "instance", d.node.Instance().String())
}
