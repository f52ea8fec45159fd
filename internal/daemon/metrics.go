package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kbus-limpet/limpet/internal/buildinfo"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/server/admin"
)

// newRegistry returns a registry with all metrics of the daemon, and those of its RPCs.
func (d *Daemon) newRegistry(rpcs prometheus.Collector) (*prometheus.Registry, error) {
	d.reloads.note(nil) // it was read for the start
	all := []prometheus.Collector{
		rpcs, buildMetric(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), daemonCollector{d}, recordsCollector{d},
		admin.Collector{Node: d.node, Missed: d.programs.Missed, Denied: d.denied, DeniedMessages: d.deniedMessages, Reached: d.reached, Attached: d.programs.Attached},
	}
	if b, embedded := d.node.Bus().(*membus.Bus); embedded {
		all = append(all, busCollector{b})
	}
	r := prometheus.NewRegistry()
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return r, nil
}

// buildMetric tells which build the daemon is, in its labels; its value is always 1.
func buildMetric() prometheus.Collector {
	info := buildinfo.Read()
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "limpetd_build_info",
		Help: "Which build the daemon is; always 1.",
		ConstLabels: prometheus.Labels{
			"version": info.Version, "revision": info.Revision, "modified": strconv.FormatBool(info.Modified), "goversion": info.Go,
		},
	})
	g.Set(1)
	return g
}

// maxScrapes bounds the scrapes at a time, scrapeTaken how long each may take.
const (
	maxScrapes  = 8
	scrapeTaken = 30 * time.Second
)

// serveMetrics serves /metrics until ctx ends.
func serveMetrics(ctx context.Context, l net.Listener, registry *prometheus.Registry) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes}))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: scrapeTaken, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics: %w", err)
	}
	return nil
}
