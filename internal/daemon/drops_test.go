package daemon_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/drops"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A series is what a drop is counted as on the page of metrics.
func series(source pb.DropSource, link string, fromPeer bool, reason string) string {
	switch source {
	case pb.DropSource_DROP_SOURCE_LINK:
		direction := "from_bus"
		if fromPeer {
			direction = "from_peer"
		}
		return fmt.Sprintf(`limpet_messages_total{direction=%q,fate=%q,link=%q}`, direction, reason, link)
	case pb.DropSource_DROP_SOURCE_BUS:
		return fmt.Sprintf(`limpet_bus_missed_total{reason=%q}`, reason)
	default:
		return "limpet_api_denied_messages_total"
	}
}

// toldDrops adds what a watch tells to sums, until a response for which done reports true.
func toldDrops(t *testing.T, w *client.DropWatch, sums map[string]float64, done func(*pb.WatchDropsResponse) bool) (all []*pb.DroppedMessage) {
	t.Helper()
	for {
		r, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range r.GetDrops() {
			sums[series(d.GetSource(), d.GetLink(), d.GetFromPeer(), d.GetReason())]++
		}
		for _, n := range r.GetUntold() {
			sums[series(n.GetSource(), n.GetLink(), n.GetFromPeer(), n.GetReason())] += float64(n.GetCount())
		}
		all = append(all, r.GetDrops()...)
		if done(r) {
			return all
		}
	}
}

// droppedSeries returns the series of a page that count drops, but for those that are 0.
func droppedSeries(p page) map[string]float64 {
	out := maps.Clone(p.series)
	losses := make(map[string]bool)
	for r := range translate.NumReasons {
		losses[translate.Reason(r).String()] = translate.Reason(r).Loss()
	}
	maps.DeleteFunc(out, func(name string, n float64) bool {
		_, rest, _ := strings.Cut(name, `fate="`)
		fate, _, _ := strings.Cut(rest, `"`)
		link := strings.HasPrefix(name, "limpet_messages_total{") && losses[fate]
		return n == 0 || !link && !strings.HasPrefix(name, "limpet_bus_missed_total{") && name != "limpet_api_denied_messages_total"
	})
	return out
}

// What WatchDrops tells, before and as it happens, adds up to what the metrics count: of the
// links, of the bus and of the rules.
func TestWatchedDropsAreTheMetrics(t *testing.T) {
	var now whoever
	now.is("uid:0")
	a, b := pair(t, daemon.Config{}, daemon.Config{Metrics: "127.0.0.1:0", IdentityOf: now.of, Rules: []rules.Rule{
		allow("uid:0", "", "all"), allow("local", "", "announce", "listen"), allow("network:1", "", "all"),
	}})
	ctx := t.Context()
	narrow := ksock(t, b)
	if _, err := narrow.MaxMessages(1); err != nil {
		t.Fatal(err)
	}
	if err := narrow.Bind("$.Much", kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	if err := a.bus.WaitInterest(ctx, "$.Much", 1); err != nil {
		t.Fatal(err)
	}
	send := func(r *running, m kbusdev.Message) error {
		_, err := r.bus.Send(ctx, &m)
		return err
	}
	const each = 200 // more than are kept
	drop := func() {
		t.Helper()
		for range each {
			for _, err := range []error{
				send(b, kbusdev.Message{Name: "$.Much", Data: []byte("secret")}),                           // the listener misses all but the first
				send(a, kbusdev.Message{Name: "$.Much", Data: []byte("secret"), Flags: kbusdev.AllOrFail}), // b's bus refuses it
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		now.is("uid:7")
		defer now.is("uid:0")
		for range each {
			if _, err := b.bus.Call(ctx, &kbusdev.Message{Name: "$.Secret", Data: []byte("secret")}); err == nil {
				t.Fatal("the rules do not let it ask")
			}
		}
	}
	counted := func(n int) func() bool {
		return func() bool {
			p := droppedSeries(parsePage(t, b.metrics()))
			return p[`limpet_bus_missed_total{reason="queue_messages"}`] == float64(n*each-1) && p["limpet_api_denied_messages_total"] == float64(n*each) && len(p) == 3 &&
				p[series(pb.DropSource_DROP_SOURCE_LINK, "connect "+a.PeerAddrs()[0].String(), true, "refused")] == float64(n*each)
		}
	}
	drop()
	await(t, "b has counted what it has dropped", counted(1))
	w, err := b.bus.WatchDrops(ctx, &pb.WatchDropsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	sums := make(map[string]float64)
	kept := toldDrops(t, w, sums, func(r *pb.WatchDropsResponse) bool { return r.GetWhole() })
	if want := droppedSeries(parsePage(t, b.metrics())); !maps.Equal(sums, want) {
		t.Errorf("told are %v, the metrics have %v", sums, want)
	}
	for _, d := range kept {
		if len(d.GetMessage().GetData()) > 0 || d.GetDataSize() != 6 || d.GetTime() == nil {
			t.Fatalf("%v", d)
		}
		switch d.GetSource() {
		case pb.DropSource_DROP_SOURCE_BUS:
			if d.GetMissedBy() != uint32(narrow.ID()) || d.GetMissedByLink() != "" || d.GetMessage().GetName() != "$.Much" || d.GetMessage().GetFrom() == 0 {
				t.Fatalf("%v", d)
			}
		case pb.DropSource_DROP_SOURCE_RULES:
			if !strings.HasPrefix(d.GetIdentity(), "uid 7 ") || d.GetMessage().GetName() != "$.Secret" || d.GetMessage().GetFrom() == 0 {
				t.Fatalf("%v", d)
			}
		default:
			if !d.GetFromPeer() || d.GetMessage().GetOrigFromNetwork() != 1 {
				t.Fatalf("%v", d)
			}
		}
	}
	drop() // while somebody watches
	want := make(map[string]float64)
	await(t, "b has counted what it has dropped since", func() bool {
		want = droppedSeries(parsePage(t, b.metrics()))
		return counted(2)()
	})
	toldDrops(t, w, sums, func(*pb.WatchDropsResponse) bool { return maps.Equal(sums, want) })
}

// A limpet that misses what its queue has no room for is told by the name of its link.
func TestDropsOfALinksQueue(t *testing.T) {
	a, _ := pair(t, daemon.Config{}, daemon.Config{})
	k := a.Node().Peerings()[0].Status().Ksock
	w, err := a.bus.WatchDrops(t.Context(), &pb.WatchDropsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	a.Node().Drops().Part(drops.Rules, "").Add(&drops.Drop{Why: drops.Why{Reason: "queue_messages"}, MissedBy: k, Message: kbusdev.Message{Name: "$.A"}})
	all := toldDrops(t, w, make(map[string]float64), func(r *pb.WatchDropsResponse) bool { return len(r.GetDrops()) > 0 })
	if d := all[0]; d.GetMissedBy() != uint32(k) || d.GetMissedByLink() != "network 2" {
		t.Errorf("%v", d)
	}
}
