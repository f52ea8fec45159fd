package daemon_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// events returns the events that a daemon tells, a line each.
func (r *running) events(q *pb.WatchEventsRequest) (all []string) {
	r.t.Helper()
	for told, err := range r.bus.Events(r.t.Context(), q) {
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range told.GetEvents() {
			line := e.GetEvent()
			for _, a := range e.GetAttributes() {
				line += fmt.Sprintf(" %s=%s", a.GetKey(), a.GetValue())
			}
			all = append(all, line)
		}
	}
	return all
}

func sinceReload() *pb.WatchEventsRequest {
	return &pb.WatchEventsRequest{From: &pb.WatchEventsRequest_Mark{Mark: pb.EventMark_EVENT_MARK_RELOAD}}
}

// What changed since the reload: each change of the configuration, who has asked for it, and
// what came of it; whether or not anything is logged.
func TestEventsSinceReload(t *testing.T) {
	r, w := reloadable(t)
	if got := r.events(sinceReload()); len(got) == 0 || !strings.HasPrefix(got[0], "offering the local API address=") {
		t.Errorf("before any reload it is since the start: %q", got)
	}
	peer := unix(filepath.Join(t.TempDir(), "peer"))
	w.write(func(c *daemon.Config) {
		c.Links = accept(peer)
		c.Rules = []rules.Rule{allow("any", "", "all")}
	})
	if _, err := r.bus.Reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	b := start(t, daemon.Config{NetworkID: 2, Links: dial(peer)})
	b.wait(limpet.Up)
	r.wait(limpet.Up)
	got := r.events(sinceReload())
	for _, want := range []string{
		"listening for peers classic=false address=" + peer.Address,
		"configuration changed what=listen " + peer.Address + " before= after=as by default",
		"configuration changed what=rules before=none after=1 (",
		"configuration reloaded by=uid ",
		"link up link=network 2 peer_network=2 ",
	} {
		if len(got) == 0 || !strings.HasPrefix(got[0], want) {
			t.Fatalf("then comes %q, want %q", got, want)
		}
		got = got[1:]
	}

	// One that fails is no reload.
	w.write(func(c *daemon.Config) { c.NetworkID = 9 })
	if _, err := r.Reload(t.Context(), false); err == nil {
		t.Fatal("another network id is taken")
	}
	got = r.events(sinceReload())
	if last := got[len(got)-1]; !strings.HasPrefix(got[0], "listening for peers") ||
		!strings.HasPrefix(last, "the configuration is not reloaded; everything stays as it was by=SIGHUP reason=--network-id: it is 1, and cannot become 9") {
		t.Errorf("after one that failed: %q", got)
	}

	// One that changes nothing is.
	w.write(func(c *daemon.Config) { c.NetworkID = 1 })
	if _, err := r.Reload(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := r.events(sinceReload()); !slices.Equal(got, []string{"configuration reloaded by=SIGHUP changes=0"}) {
		t.Errorf("after one without changes: %q", got)
	}
}
