package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kbus-limpet/limpet/limpet"
)

// A Collector exports what the links have carried since the daemon started, read when
// it is asked. The label link is the peering's name, which outlives epochs.
type Collector struct {
	// Node has the links. Required.
	Node *limpet.Node
	// Missed, Denied and Reached are as in Service.
	Missed, Denied func() uint64
	Reached        func() map[string]map[string]uint64
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	linkUp       = desc("limpet_link_up", "1 while the link has a stream.", "link")
	linkState    = desc("limpet_link_state", "1 for the state that the link is in, 0 for the others.", "link", "state")
	requests     = desc("limpet_requests_total", "Requests taken from the bus and answered, by how: taken = replied + synthetic + open.", "link", "end")
	requestsOpen = desc("limpet_requests_open", "Requests taken from the bus and not answered yet.", "link")
	messages     = desc("limpet_messages_total", "Messages that ended, by direction and fate: read = delivered + dropped + in flight.", "link", "direction", "fate")
	inFlight     = desc("limpet_messages_in_flight", "Messages whose fate is not decided yet.", "link", "direction")
	epochs       = desc("limpet_epochs_total", "Epochs that have begun.", "link")
	resumed      = desc("limpet_resumed_total", "Streams that broke and were followed by another one that lost nothing.", "link")
	queued       = desc("limpet_bus_queue_messages", "Messages waiting in the limpet's queue on the bus.", "link")
	queueFull    = desc("limpet_bus_queue_full_total", "Times that the limpet's queue on the bus was seen at its bound, when the bus may have dropped what cannot be known.", "link")
	windowFull   = desc("limpet_window_full_total", "Times that the send window had no room.", "link")
	unknown      = desc("limpet_unknown_frames_total", "Frames of an unknown kind from the peer, which were ignored.", "link")
	resyncs      = desc("limpet_resyncs_total", "Times that the peer's table of repliers had to be told again.", "link")
	apiDenied    = desc("limpet_api_denied_total", "Messages and bindings of programs that the rules have refused.")
	reached      = desc("limpet_bound_reached_total", "Times that a bound was reached: something was refused, or a connection closed.", "who", "bound")
	apiMissed    = desc("limpet_api_missed_total", "Messages that programs listening through the API have missed because their queues on the bus were full.")
)

// Describe sends the descriptions.
func (Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		linkUp, linkState, requests, requestsOpen, messages, inFlight, epochs, resumed, queued, queueFull, windowFull, unknown, resyncs, reached, apiMissed, apiDenied,
	} {
		ch <- d
	}
}

// Collect sends the values now.
func (c Collector) Collect(ch chan<- prometheus.Metric) {
	for _, p := range c.Node.Peerings() {
		st := p.Status()
		collect(ch, &st)
	}
	if c.Reached != nil {
		for who, bounds := range c.Reached() {
			for bound, n := range bounds {
				ch <- prometheus.MustNewConstMetric(reached, prometheus.CounterValue, float64(n), who, bound)
			}
		}
	}
	if c.Missed != nil {
		ch <- prometheus.MustNewConstMetric(apiMissed, prometheus.CounterValue, float64(c.Missed()))
	}
	if c.Denied != nil {
		ch <- prometheus.MustNewConstMetric(apiDenied, prometheus.CounterValue, float64(c.Denied()))
	}
}

func collect(ch chan<- prometheus.Metric, st *limpet.Status) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, float64(v), append([]string{st.Name}, labels...)...)
	}
	gauge := func(d *prometheus.Desc, v uint64, labels ...string) { send(d, prometheus.GaugeValue, v, labels...) }
	counter := func(d *prometheus.Desc, v uint64, labels ...string) { send(d, prometheus.CounterValue, v, labels...) }
	n := &st.Counts
	gauge(linkUp, one(st.State == limpet.Up))
	for _, s := range []limpet.State{limpet.Connecting, limpet.Up, limpet.Detached, limpet.Draining} {
		gauge(linkState, one(st.State == s), s.String())
	}
	counter(requests, n.Replies, "replied")
	counter(requests, n.Synthetic, "synthetic")
	gauge(requestsOpen, n.Open)
	for direction, ended := range map[string]map[string]uint64{"from_bus": n.FromBusEnded, "from_peer": n.FromPeerEnded} {
		for fate, v := range ended {
			counter(messages, v, direction, fate)
		}
	}
	gauge(inFlight, n.FromBusInFlight, "from_bus")
	gauge(inFlight, n.FromPeerInFlight, "from_peer")
	counter(epochs, st.Epochs)
	counter(resumed, st.Resumed)
	gauge(queued, n.Queued)
	counter(queueFull, n.QueueFull)
	counter(windowFull, n.WindowFull)
	counter(unknown, n.UnknownFrames)
	counter(resyncs, n.Resyncs)
}

func one(is bool) uint64 {
	if is {
		return 1
	}
	return 0
}
