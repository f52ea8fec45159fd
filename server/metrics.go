package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kbus-limpet/limpet/limpet"
)

// A linkCollector exports what the links have carried, read when it is asked.
type linkCollector struct{ node *limpet.Node }

var (
	linkUp       = prometheus.NewDesc("limpet_link_up", "1 while the link is up.", []string{"link"}, nil)
	linkRequests = prometheus.NewDesc("limpet_requests", "Requests taken from the bus in this epoch, by how far they are: requests = replies + synthetic + open.", []string{"link", "state"}, nil)
	linkMessages = prometheus.NewDesc("limpet_messages", "Messages in this epoch, by direction and fate: read = delivered + dropped + in flight.", []string{"link", "direction", "fate"}, nil)
	linkQueued   = prometheus.NewDesc("limpet_bus_queue_messages", "Messages waiting in the limpet's queue on the bus.", []string{"link"}, nil)
)

// Describe sends the descriptions.
func (linkCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{linkUp, linkRequests, linkMessages, linkQueued} {
		ch <- d
	}
}

// Collect sends the values now. They start again with each epoch, so they are gauges.
func (c linkCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for _, l := range c.node.Links() {
		st := l.Status()
		if !st.IsServed {
			gauge(linkUp, 0, st.Name)
			continue
		}
		gauge(linkUp, 1, st.Name)
		n := &st.Counts
		gauge(linkRequests, n.Replies, st.Name, "replied")
		gauge(linkRequests, n.Synthetic, st.Name, "synthetic")
		gauge(linkRequests, n.Open, st.Name, "open")
		for fate, v := range n.FromBusEnded {
			gauge(linkMessages, v, st.Name, "from_bus", fate)
		}
		gauge(linkMessages, n.FromBusInFlight, st.Name, "from_bus", "in_flight")
		for fate, v := range n.FromPeerEnded {
			gauge(linkMessages, v, st.Name, "from_peer", fate)
		}
		gauge(linkMessages, n.FromPeerInFlight, st.Name, "from_peer", "in_flight")
		gauge(linkQueued, n.Queued, st.Name)
	}
}
