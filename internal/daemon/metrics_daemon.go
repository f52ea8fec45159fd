package daemon

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reloads are what became of Daemon.Reload. It is safe for concurrent use.
type reloads struct {
	failed atomic.Bool  // the last one
	at     atomic.Int64 // of the last success, in Unix nanoseconds
}

// note notes how a reload has ended.
func (r *reloads) note(err error) {
	r.failed.Store(err != nil)
	if err == nil {
		r.at.Store(time.Now().UnixNano())
	}
}

// A daemonCollector exports what a daemon knows of itself.
type daemonCollector struct{ d *Daemon }

var (
	reloadOK  = prometheus.NewDesc("limpetd_config_last_reload_successful", "1 if the configuration was read without an error the last time, at the start or later.", nil, nil)
	reloadAt  = prometheus.NewDesc("limpetd_config_last_reload_success_timestamp_seconds", "Unix time at which the configuration was read the last time without an error.", nil, nil)
	spansGone = prometheus.NewDesc("limpetd_trace_spans_lost_total", "Trace spans that have not reached their collector.", nil, nil)
	certEnds  = prometheus.NewDesc("limpetd_certificate_expiry_timestamp_seconds", "Unix time until which the certificate is valid that is shown to peers and programs.", nil, nil)
)

// Describe sends the descriptions.
func (daemonCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- reloadOK
	ch <- reloadAt
	ch <- certEnds
	ch <- spansGone
}

// Collect sends the values now.
func (c daemonCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	ok := 1.0
	if c.d.reloads.failed.Load() {
		ok = 0
	}
	gauge(reloadOK, ok)
	gauge(reloadAt, float64(c.d.reloads.at.Load())/1e9)
	if c.d.tls != nil {
		gauge(certEnds, float64(c.d.tls.ValidUntil().Unix()))
	}
	ch <- prometheus.MustNewConstMetric(spansGone, prometheus.CounterValue, float64(c.d.spansLost()))
}
