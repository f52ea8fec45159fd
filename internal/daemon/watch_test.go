package daemon_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
)

// Over a chain of three buses a program on the first hears at once of a replier that
// comes to the last, and goes. Nothing polls: each step is one change told.
func TestRepliersAreWatchedOverAChain(t *testing.T) {
	atA, atB := unix(filepath.Join(t.TempDir(), "link")), unix(filepath.Join(t.TempDir(), "link"))
	a := start(t, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(atA)}})
	start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(atA), daemon.Accept(atB)}})
	c := start(t, daemon.Config{NetworkID: 3, Links: []daemon.LinkConfig{daemon.Dial(atB)}})
	c.wait(limpet.Up)
	link := a.wait(limpet.Up)
	w, err := a.bus.WatchRepliers(t.Context(), "$.Far.*")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if first, err := w.Recv(); err != nil || !first.Whole || len(first.Here) > 0 {
		t.Fatalf("at first %+v, %v", first, err)
	}
	k, err := c.Node().Bus().Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	want := client.ReplierBinding{Name: "$.Far.Away", Link: link.Name(), NetworkID: 2}
	for _, gone := range []bool{false, true, false, true} {
		start := time.Now()
		if gone {
			err = k.Unbind("$.Far.Away", kbusdev.Replier)
		} else {
			err = k.Bind("$.Far.Away", kbusdev.Replier)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.Recv()
		told := got.Here
		if gone {
			told = got.Gone
		}
		if err != nil || len(got.Here)+len(got.Gone) != 1 || len(told) != 1 {
			t.Fatalf("gone %v: told %+v, %v", gone, got, err)
		}
		if told[0].Ksock = 0; told[0] != want {
			t.Errorf("told of %+v, want %+v", told[0], want)
		}
		t.Logf("gone %v: told after %v", gone, time.Since(start))
	}
}

// A link is watched from both ends: it comes, and goes again.
func TestLinksAreWatched(t *testing.T) {
	a, b := pair(t, daemon.Config{}, daemon.Config{})
	w, err := a.bus.WatchLinks(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c, err := w.Recv()
	if err != nil || !c.Whole || len(c.Here) != 1 || c.Here[0].GetState().String() != "LINK_STATE_UP" {
		t.Fatalf("at first %+v, %v", c, err)
	}
	b.stop()
	for {
		if c, err = w.Recv(); err != nil {
			t.Fatal(err)
		}
		if len(c.Here) > 0 && c.Here[0].GetState().String() == "LINK_STATE_CONNECTING" {
			break
		}
	}
	if c.Here[0].GetLastError() == "" {
		t.Error("nobody says why it is down")
	}
}
