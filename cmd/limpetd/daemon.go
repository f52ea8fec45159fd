package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/kbusfs"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/server"
)

// runDaemon puts the rooms together and runs them until ctx ends.
func runDaemon(ctx context.Context, cfg *config, out, errOut io.Writer) error {
	log := newLog(cfg, errOut)
	set := membus.NewSet()
	bus, notice, err := openBus(cfg.Bus, set)
	if err != nil {
		return &usageError{err}
	}
	if cfg.Expose != "" {
		if err := exposed(cfg, set, log).Validate(); err != nil {
			return &usageError{fmt.Errorf("--expose: %w", err)}
		}
	}
	if cfg.Check {
		return sayCheck(cfg, bus, out)
	}
	if notice != "" {
		log.Info(notice)
	}
	networkID := cfg.NetworkID
	if networkID == 0 {
		networkID = 1 // no link is made, so nobody sees it
	}
	node, err := limpet.NewNode(bus, networkID, log)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	srv, err := server.New(server.Config{Node: node, Limpet: cfg.limpet(), Version: version(), Metrics: registry})
	if err != nil {
		return err
	}
	l, err := openListeners(ctx, cfg, log)
	if err != nil {
		l.close()
		return err
	}
	for _, p := range l.serve.Peers {
		log.Info("listening for peers", "address", p.Addr().String())
	}
	for _, p := range l.serve.Classic {
		log.Info("listening for peers of the classic protocol", "address", p.Addr().String())
	}
	for _, a := range l.serve.API {
		log.Info("offering the local API", "address", a.Addr().String())
	}
	log.Info("limpetd is running", "version", version(), "bus", bus.String(), "network_id", cfg.NetworkID, "instance", node.Instance().String())

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return srv.Run(gctx, l.serve) })
	ready := func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyReady) }
	if cfg.Expose == "" {
		ready()
	} else {
		devices := kbusfs.New(exposed(cfg, set, log))
		g.Go(func() error { return devices.Run(gctx, ready) })
		g.Go(func() error { return devices.ServeControl(gctx, l.control) })
	}
	for _, addr := range cfg.connect {
		g.Go(func() error { return (&client.Link{Node: node, Address: addr, Limpet: cfg.limpet()}).Run(gctx) })
	}
	for _, addr := range cfg.connectClassic {
		g.Go(func() error {
			return (&client.Link{Node: node, Address: addr, Classic: true, Limpet: cfg.limpet()}).Run(gctx)
		})
	}
	if l.metrics != nil {
		g.Go(func() error { return serveMetrics(gctx, l.metrics, registry) })
	}
	err = g.Wait()
	if errors.Is(err, limpet.ErrTerminated) {
		log.Info("limpetd stops", "reason", err)
		return nil
	}
	if err == nil {
		log.Info("limpetd stops", "reason", "signal")
	}
	return err
}

// exposed is how --expose serves the bus.
func exposed(cfg *config, set *membus.Set, log *slog.Logger) kbusfs.Config {
	return kbusfs.Config{Set: set, Dir: filepath.Dir(cfg.Expose), Mode: 0o666, Log: log}
}

func newLog(cfg *config, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: []slog.Level{slog.LevelWarn, slog.LevelInfo, slog.LevelDebug}[cfg.Verbosity]}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// openBus gives the bus asked for, and what a person should know about the choice.
func openBus(which string, set *membus.Set) (kbusdev.Bus, string, error) {
	switch which {
	case "embedded":
		return set.Bus(0), "", nil
	case "auto":
		if !kbusdev.HasDevice(kbusdev.DefaultDevice) {
			return set.Bus(0), "there is no " + kbusdev.DefaultDevice + ", so the bus is embedded: only programs that use the local API are on it", nil
		}
		which = kbusdev.DefaultDevice
	}
	path, err := kbusdev.DevicePath(which)
	if err != nil {
		return nil, "", err
	}
	bus, err := kbusdev.OpenDevice(path)
	return bus, "", err
}

func sayCheck(cfg *config, bus kbusdev.Bus, out io.Writer) error {
	api := "none"
	if cfg.api != nil {
		api = cfg.api.String()
	}
	_, err := fmt.Fprintln(out, "the configuration is good")
	for _, line := range []struct {
		what  string
		value any
	}{
		{"bus", bus}, {"network id", cfg.NetworkID}, {"listen", cfg.listen}, {"connect", cfg.connect},
		{"listen-classic", cfg.listenClassic}, {"connect-classic", cfg.connectClassic}, {"message name", cfg.MessageName}, {"api", api},
	} {
		if err == nil {
			_, err = fmt.Fprintf(out, "%-16s %v\n", line.what+":", line.value)
		}
	}
	return err
}

type listeners struct {
	serve   server.Listeners
	metrics net.Listener
	control net.Listener // for questions about the exposed device
}

func (l *listeners) close() {
	for _, x := range slices.Concat(l.serve.Peers, l.serve.Classic, l.serve.API) {
		_ = x.Close()
	}
	for _, x := range []net.Listener{l.metrics, l.control} {
		if x != nil {
			_ = x.Close()
		}
	}
}

// openListeners opens all or says which one it could not; close the result in any case of error.
func openListeners(ctx context.Context, cfg *config, log *slog.Logger) (*listeners, error) {
	l := &listeners{}
	for _, x := range []struct {
		at  []sockaddr.Address
		out *[]net.Listener
	}{{cfg.listen, &l.serve.Peers}, {cfg.listenClassic, &l.serve.Classic}} {
		for _, addr := range x.at {
			p, err := sockaddr.Listen(ctx, addr, sockaddr.Config{Log: log})
			if err != nil {
				return l, err
			}
			*x.out = append(*x.out, p)
		}
	}
	if cfg.api != nil {
		a, err := sockaddr.Listen(ctx, *cfg.api, sockaddr.Config{Private: true, Log: log})
		if errors.Is(err, sockaddr.ErrInUse) {
			return l, fmt.Errorf("%w (or give this daemon its own with --api)", err)
		}
		if err != nil {
			return l, err
		}
		l.serve.API = append(l.serve.API, a)
	}
	if cfg.Metrics != "" {
		m, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Metrics)
		if err != nil {
			return l, fmt.Errorf("--metrics: %w", err)
		}
		l.metrics = sockaddr.Retry(m, log)
	}
	if cfg.Expose != "" {
		addr := sockaddr.Address{Network: "unix", Address: kbusdev.ControlSocket(filepath.Dir(cfg.Expose))}
		c, err := sockaddr.Listen(ctx, addr, sockaddr.Config{Mode: 0o666, Log: log})
		if errors.Is(err, sockaddr.ErrInUse) && kbusdev.AnswersControl(ctx, addr.Address) {
			return l, fmt.Errorf("--expose: a kbusd, or another limpetd --expose, is running: it answers at %s; stop it, or choose another folder (%w)", addr, err)
		}
		if err != nil {
			return l, err
		}
		l.control = c
	}
	return l, nil
}

func serveMetrics(ctx context.Context, l net.Listener, registry *prometheus.Registry) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics: %w", err)
	}
	return nil
}
