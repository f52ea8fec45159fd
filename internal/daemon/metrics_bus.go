package daemon

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// A busCollector exports what happens on the embedded bus. Of a device only its driver knows.
type busCollector struct{ bus *membus.Bus }

func busDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("limpet_bus_"+name, help, labels, nil)
}

var (
	busKsocks      = busDesc("ksocks", "Ksocks that are open on the embedded bus, those of limpets among them.")
	busBindings    = busDesc("bindings", "Names bound on the embedded bus.", "role")
	busQueued      = busDesc("queued_messages", "Messages in queues of the embedded bus; one in several queues counts in each.")
	busQueuedBytes = busDesc("queued_bytes", "Names and data of the messages in queues of the embedded bus; what several queues share counts once.")
	busMaxBytes    = busDesc("queued_max_bytes", "Bound of limpet_bus_queued_bytes.")
	busOpen        = busDesc("requests_open", "Requests on the embedded bus that have no reply yet.")
	busSent        = busDesc("messages_total", "Messages that were sent on the embedded bus, by programs and limpets.", "kind")
	busMissed      = busDesc("missed_total", "Copies of announcements that a listener on the embedded bus has missed, by what was full.", "reason")
	busRefused     = busDesc("refused_total", "Messages that the embedded bus has refused, by errno. Those that wait for room are not among them.", "errno")
	busAnswered    = busDesc("answered_total", "Requests that the embedded bus has answered itself, because their replier went away for example, by the name of the reply.", "reply")
)

// Describe sends the descriptions.
func (busCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{busKsocks, busBindings, busQueued, busQueuedBytes, busMaxBytes, busOpen, busSent, busMissed, busRefused, busAnswered} {
		ch <- d
	}
}

// Collect sends the values now.
func (c busCollector) Collect(ch chan<- prometheus.Metric) {
	t := c.bus.Totals()
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(busKsocks, t.Ksocks)
	gauge(busBindings, t.Repliers, "replier")
	gauge(busBindings, t.Listeners, "listener")
	gauge(busQueued, t.Queued)
	gauge(busQueuedBytes, t.QueuedBytes)
	gauge(busMaxBytes, t.MaxQueuedBytes)
	gauge(busOpen, t.Open)
	counter(busSent, t.Announcements, "announcement")
	counter(busSent, t.Requests, "request")
	counter(busSent, t.Replies, "reply")
	for reason, n := range t.Missed {
		counter(busMissed, n, reason)
	}
	for errno, n := range t.Refused {
		counter(busRefused, n, kbusdev.ErrnoName(errno))
	}
	for reply, n := range t.Answered {
		counter(busAnswered, n, reply)
	}
}
