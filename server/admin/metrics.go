package admin

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A Collector exports what the links have carried since the daemon started, read when
// it is asked. The label link is the peering's name, which outlives epochs and peerings: what
// is counted never becomes less. docs/metrics.md lists all there is.
type Collector struct {
	// Node has the links. Required.
	Node *limpet.Node
	// Missed, Denied and Reached are as in Service.
	Missed, Denied func() uint64
	// DeniedMessages returns how many of Denied were messages; nil tells nothing.
	DeniedMessages func() uint64
	Reached        func() map[string]map[string]uint64
	// Attached returns how many programs are attached; nil is none.
	Attached func() int
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	linkInfo    = desc("limpet_link_info", "Always 1: who dials on the link, and which protocol is spoken.", "link", "side", "protocol")
	linkUp      = desc("limpet_link_up", "1 while the link has a stream, 0 while it has none.", "link")
	linkState   = desc("limpet_link_state", "1 for the state that the link is in, 0 for the others.", "link", "state")
	linkSince   = desc("limpet_link_state_timestamp_seconds", "Unix time at which the link came into the state that it is in.", "link")
	requests    = desc("limpet_requests_total", "Requests taken from the bus and answered, by how: taken = replied + synthetic + open.", "link", "end")
	open        = desc("limpet_requests_open", "Requests not answered yet: from_bus those taken from our bus for the peer, from_peer the peer's on our bus.", "link", "direction")
	oldestOpen  = desc("limpet_request_oldest_age_seconds", "Age of the oldest request that is not answered yet, 0 if there is none.", "link", "direction")
	took        = desc("limpet_request_duration_seconds", "Time until the reply: from_bus from the reading of a request on our bus to the peer's reply, from_peer from the sending of a peer's request on our bus to the reply there.", "link", "direction")
	messages    = desc("limpet_messages_total", "Messages that ended, by direction and fate: read = delivered + dropped + in flight.", "link", "direction", "fate")
	lost        = desc("limpet_messages_lost_total", "Those of limpet_messages_total that somebody may miss.", "link", "direction")
	inFlight    = desc("limpet_messages_in_flight", "Messages whose fate is not decided yet.", "link", "direction")
	oldestAck   = desc("limpet_unacknowledged_oldest_age_seconds", "Age of the oldest message that waits for the peer's acknowledgement, 0 if there is none.", "link")
	epochs      = desc("limpet_epochs_total", "Epochs that have begun.", "link")
	resumed     = desc("limpet_resumed_total", "Streams that broke and were followed by another one that lost nothing.", "link")
	queued      = desc("limpet_link_queue_messages", "Messages waiting in the limpet's queue on the bus.", "link")
	queueFull   = desc("limpet_link_queue_full_total", "Times that the limpet's queue on the bus was seen at its bound, when the bus may have dropped what cannot be known.", "link")
	windowFull  = desc("limpet_window_full_total", "Times that the send window had no room.", "link")
	unknown     = desc("limpet_unknown_frames_total", "Frames of an unknown kind from the peer, which were ignored.", "link")
	resyncs     = desc("limpet_resyncs_total", "Times that the peer's table of repliers had to be told again.", "link")
	apiPrograms = desc("limpet_api_attached_programs", "Programs with a Ksock over a stream, those in their grace included.")
	apiDenied   = desc("limpet_api_denied_total", "Messages and bindings of programs that the rules have refused.")
	deniedMsgs  = desc("limpet_api_denied_messages_total", "Those of limpet_api_denied_total that were messages.")
	apiMissed   = desc("limpet_api_missed_total", "Messages that programs listening through the API have missed because their queues on the bus were full.")
	reached     = desc("limpet_bound_reached_total", "Times that a bound was reached: something was refused, or a connection closed.", "who", "bound")
)

// Describe sends the descriptions.
func (Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		linkInfo, linkUp, linkState, linkSince, requests, open, oldestOpen, took, messages, lost, inFlight, oldestAck, epochs, resumed,
		queued, queueFull, windowFull, unknown, resyncs, apiPrograms, apiDenied, deniedMsgs, apiMissed, reached,
	} {
		ch <- d
	}
}

// Collect sends the values now.
func (c Collector) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	for _, t := range c.Node.Telemetry() {
		l := linkMetrics{ch, label(t.Name)}
		l.carried(&t.Carried)
		if len(t.Peerings) > 0 {
			l.present(t.Peerings, now)
		}
	}
	if c.Reached != nil {
		for who, bounds := range c.Reached() {
			for bound, n := range bounds {
				ch <- prometheus.MustNewConstMetric(reached, prometheus.CounterValue, float64(n), who, bound)
			}
		}
	}
	for d, f := range map[*prometheus.Desc]func() uint64{apiMissed: c.Missed, apiDenied: c.Denied, deniedMsgs: c.DeniedMessages} {
		if f != nil {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(f()))
		}
	}
	if c.Attached != nil {
		ch <- prometheus.MustNewConstMetric(apiPrograms, prometheus.GaugeValue, float64(c.Attached()))
	}
}

// label returns a name as Prometheus takes it, which is UTF-8. The names of files need not
// be.
func label(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	quoted := strconv.Quote(name)
	return quoted[1 : len(quoted)-1]
}

// linkMetrics sends the values of the links of one name.
type linkMetrics struct {
	ch   chan<- prometheus.Metric
	link string
}

func (l linkMetrics) send(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
	l.ch <- prometheus.MustNewConstMetric(d, kind, v, append([]string{l.link}, labels...)...)
}

func (l linkMetrics) gauge(d *prometheus.Desc, v float64, labels ...string) {
	l.send(d, prometheus.GaugeValue, v, labels...)
}

func (l linkMetrics) counter(d *prometheus.Desc, v uint64, labels ...string) {
	l.send(d, prometheus.CounterValue, float64(v), labels...)
}

// The directions of what a link carries.
const (
	fromBus  = "from_bus"
	fromPeer = "from_peer"
)

// carried sends what only grows.
func (l linkMetrics) carried(c *limpet.Carried) {
	l.counter(requests, c.Replies, "replied")
	l.counter(requests, c.Synthetic, "synthetic")
	l.durations(&c.Took, fromBus)
	l.durations(&c.AskedTook, fromPeer)
	l.fates(c.FromBusEnded, fromBus)
	l.fates(c.FromPeerEnded, fromPeer)
	l.counter(epochs, c.Epochs)
	l.counter(resumed, c.Resumed)
	l.counter(queueFull, c.QueueFull)
	l.counter(windowFull, c.WindowFull)
	l.counter(unknown, c.UnknownFrames)
	l.counter(resyncs, c.Resyncs)
}

func (l linkMetrics) fates(ended map[string]uint64, direction string) {
	for fate, n := range ended {
		l.counter(messages, n, direction, fate)
	}
	sum := uint64(0)
	for r := range translate.NumReasons {
		if why := translate.Reason(r); why.Loss() {
			sum += ended[why.String()]
		}
	}
	l.counter(lost, sum, direction)
}

func (l linkMetrics) durations(d *translate.Durations, direction string) {
	buckets := make(map[float64]uint64, len(translate.DurationBounds))
	n := uint64(0)
	for i, bound := range translate.DurationBounds {
		n += d.Counts[i]
		buckets[bound.Seconds()] = n
	}
	n += d.Counts[len(translate.DurationBounds)]
	l.ch <- prometheus.MustNewConstHistogram(took, n, d.Sum.Seconds(), buckets, l.link, direction)
}

// present sends what the links are doing now; there is at least one.
func (l linkMetrics) present(all []limpet.PeeringTelemetry, now time.Time) {
	var queuedHere, busOpen, busFlight, peerOpen, peerFlight uint64
	var unacknowledged, oldest, oldestAsked, since time.Time
	states := make(map[limpet.State]int)
	kinds := make(map[[2]string]bool)
	for i := range all {
		p := &all[i]
		states[p.State]++
		kinds[[2]string{which(p.Dialled, "dialled", "accepted"), which(p.Classic, "classic", "grpc")}] = true
		n := &p.Counts
		queuedHere += n.Queued
		busOpen, peerOpen = busOpen+n.Open, peerOpen+n.Asked
		busFlight, peerFlight = busFlight+n.FromBusInFlight, peerFlight+n.FromPeerInFlight
		unacknowledged, oldest, oldestAsked = older(unacknowledged, p.OldestUnacknowledged), older(oldest, p.OldestOpen), older(oldestAsked, p.OldestAsked)
		if p.Since.After(since) {
			since = p.Since
		}
	}
	for kind := range kinds {
		l.gauge(linkInfo, 1, kind[0], kind[1])
	}
	l.gauge(linkUp, float64(states[limpet.Up]))
	for _, s := range []limpet.State{limpet.Connecting, limpet.Up, limpet.Detached, limpet.Draining} {
		l.gauge(linkState, float64(states[s]), s.String())
	}
	l.gauge(linkSince, float64(since.UnixMilli())/1000)
	l.gauge(open, float64(busOpen), fromBus)
	l.gauge(open, float64(peerOpen), fromPeer)
	l.gauge(oldestOpen, age(oldest, now), fromBus)
	l.gauge(oldestOpen, age(oldestAsked, now), fromPeer)
	l.gauge(inFlight, float64(busFlight), fromBus)
	l.gauge(inFlight, float64(peerFlight), fromPeer)
	l.gauge(oldestAck, age(unacknowledged, now))
	l.gauge(queued, float64(queuedHere))
}

func which(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// older returns the earlier of two times; zero is none.
func older(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// age returns how long ago a time was, in seconds; 0 if there is none.
func age(at, now time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return max(now.Sub(at), 0).Seconds()
}
