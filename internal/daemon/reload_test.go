package daemon_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
)

// A written is a configuration that can be read again.
type written struct {
	mu  sync.Mutex
	cfg daemon.Config
	err error
}

func (w *written) load() (daemon.Config, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cfg, w.err
}

func (w *written) write(f func(*daemon.Config)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.cfg)
}

// reloadable starts a daemon of network 1 with links whose configuration can be changed.
func reloadable(t *testing.T, links ...daemon.LinkConfig) (*running, *written) {
	t.Helper()
	w := new(written)
	cfg := daemon.Config{NetworkID: 1, Links: links, Load: w.load}
	r := start(t, cfg)
	cfg.Bus = daemon.Embedded
	cfg.API = &sockaddr.Address{Network: "unix", Address: r.api}
	w.cfg = cfg
	return r, w
}

func lines(changes []daemon.Change) string {
	var all []string
	for _, c := range changes {
		all = append(all, c.String())
	}
	return strings.Join(all, "; ")
}

// waitStates waits until the peerings of a daemon are these, with these states.
func (r *running) waitStates(want string) {
	r.t.Helper()
	late := time.After(30 * time.Second)
	for {
		changed := r.Node().Changed()
		var got []string
		for _, p := range r.Node().Peerings() {
			got = append(got, p.Name()+" "+p.State().String())
		}
		if strings.Join(got, ", ") == want {
			return
		}
		select {
		case <-changed:
		case <-late:
			r.t.Fatalf("the links are %s; want %s", strings.Join(got, ", "), want)
		}
	}
}

// Links are added, changed and removed while others pass messages, of which none is lost,
// delayed by a new epoch, or doubled.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) sockaddr.Address { return unix(filepath.Join(dir, name)) }
	stays, goes, comes := at("stays"), at("goes"), at("comes")
	for i, a := range []sockaddr.Address{stays, goes, comes} {
		start(t, daemon.Config{NetworkID: uint32(i + 2), Links: []daemon.LinkConfig{daemon.Accept(a)}})
	}
	a, w := reloadable(t, daemon.Dial(stays), daemon.Dial(goes))
	connect := func(a sockaddr.Address, state string) string { return "connect " + a.Address + " " + state }
	a.waitStates(connect(goes, "up") + ", " + connect(stays, "up"))
	peering := func() limpet.Status {
		for _, p := range a.Node().Peerings() {
			if p.Name() == "connect "+stays.Address {
				return p.Status()
			}
		}
		t.Fatal("the link that stays is gone")
		return limpet.Status{}
	}
	before := peering()

	var asked atomic.Int64
	ends, ended := make(chan struct{}), make(chan error, 1)
	far := start(t, daemon.Config{NetworkID: 9, Links: []daemon.LinkConfig{daemon.Dial(stays)}})
	serveEcho(t, far.bus)
	a.waitReplier("$.Echo")
	go func() {
		ended <- func() error {
			for {
				select {
				case <-ends:
					return nil
				default:
				}
				if _, err := a.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Echo"}); err != nil {
					return err
				}
				asked.Add(1)
			}
		}()
	}()

	own := limpet.Config{Grace: time.Minute}
	for step, x := range []struct {
		links   []daemon.LinkConfig
		changes string
		states  string
	}{
		{
			[]daemon.LinkConfig{daemon.Dial(stays), daemon.Dial(comes)},
			"add connect " + comes.Address + ": as by default; remove connect " + goes.Address,
			connect(comes, "up") + ", " + connect(stays, "up"),
		},
		{
			[]daemon.LinkConfig{daemon.Dial(stays), {Address: comes, Name: "Other", Limpet: &own}},
			"change connect " + comes.Address + ": as by default -> name Other, grace 1m0s",
			"Other up, " + connect(stays, "up"),
		},
		{[]daemon.LinkConfig{{Address: comes, Name: "Other", Limpet: &own}, daemon.Dial(stays)}, "", "Other up, " + connect(stays, "up")},
		{[]daemon.LinkConfig{daemon.Dial(stays)}, "remove connect " + comes.Address, connect(stays, "up")},
	} {
		for n := asked.Load(); asked.Load() < n+10; { // while messages pass
			<-time.After(time.Millisecond)
		}
		w.write(func(c *daemon.Config) { c.Links = x.links })
		dry, err := a.Reload(t.Context(), true)
		if err != nil || lines(dry) != x.changes {
			t.Errorf("step %d, dry: %s, %v; want %s", step, lines(dry), err, x.changes)
		}
		done, err := a.Reload(t.Context(), false)
		if err != nil || lines(done) != x.changes {
			t.Errorf("step %d: %s, %v; want %s", step, lines(done), err, x.changes)
		}
		a.waitStates(x.states)
	}
	close(ends)
	if err := <-ended; err != nil {
		t.Errorf("a request over the link that stays: %v", err)
	}
	if after := peering(); after.Session != before.Session || after.Resumed != before.Resumed || after.Epochs != 1 {
		t.Errorf("the link that stays was %+v and is %+v", before, after)
	}
}

func serveEcho(t *testing.T, bus *client.Bus) {
	t.Helper()
	r, err := bus.Serve(t.Context(), 0, "$.Echo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	go func() {
		for {
			q, err := r.Recv()
			if err != nil {
				return
			}
			_ = r.Reply(q, "", nil)
		}
	}()
}

// Addresses at which peers dial us come and go, and those that they have let in are
// linked anew when their settings change.
func TestReloadOfListeners(t *testing.T) {
	dir := t.TempDir()
	first, second := unix(filepath.Join(dir, "first")), unix(filepath.Join(dir, "second"))
	a, w := reloadable(t, daemon.Accept(first))
	b := start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(first)}})
	c := start(t, daemon.Config{NetworkID: 3, Links: []daemon.LinkConfig{daemon.Dial(second)}})
	a.waitStates("network 2 up")
	reload := func(want string, links ...daemon.LinkConfig) {
		t.Helper()
		w.write(func(c *daemon.Config) { c.Links = links })
		if got, err := a.Reload(t.Context(), false); err != nil || lines(got) != want {
			t.Errorf("%s, %v; want %s", lines(got), err, want)
		}
	}
	reload("add listen "+second.Address+": as by default", daemon.Accept(first), daemon.Accept(second))
	a.waitStates("network 2 up, network 3 up")
	if n := b.wait(limpet.Up).Status().Epochs; n != 1 {
		t.Errorf("the link that was there before has had %d epochs", n)
	}
	own := limpet.Config{Grace: time.Minute}
	reload("change listen "+second.Address+": as by default -> grace 1m0s", daemon.Accept(first), daemon.LinkConfig{Address: second, Listen: true, Limpet: &own})
	for c.wait(limpet.Up).Status().Epochs < 2 {
		<-time.After(time.Millisecond)
	}
	a.waitStates("network 2 up, network 3 up")
	reload("remove listen "+second.Address, daemon.Accept(first))
	a.waitStates("network 2 up")
	c.wait(limpet.Connecting)
	if n := b.wait(limpet.Up).Status().Epochs; n != 1 {
		t.Errorf("the link that was there before has had %d epochs", n)
	}
	if all := a.PeerAddrs(); len(all) != 1 {
		t.Errorf("peers can dial %v", all)
	}
}

// With anything wrong nothing changes at all.
func TestReloadIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	at := unix(filepath.Join(dir, "link"))
	taken := unix(filepath.Join(dir, "taken"))
	start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Accept(taken)}})
	a, w := reloadable(t, daemon.Accept(at))
	b := start(t, daemon.Config{NetworkID: 3, Links: []daemon.LinkConfig{daemon.Dial(at)}})
	a.waitStates("network 3 up")
	good := w.cfg
	for want, change := range map[string]func(*daemon.Config){
		"--network-id: it is 1, and cannot become 5":    func(c *daemon.Config) { c.NetworkID = 5 },
		"--metrics: \"x\" is not HOST:PORT":             func(c *daemon.Config) { c.Metrics = "x" },
		"--api: it is":                                  func(c *daemon.Config) { c.API = nil },
		"the address " + at.Address + " is given twice": func(c *daemon.Config) { c.Links = append(c.Links, daemon.Accept(at)) },
		"another program listens on socket": func(c *daemon.Config) { // the first could be opened
			c.Links = []daemon.LinkConfig{daemon.Accept(unix(filepath.Join(dir, "free"))), daemon.Accept(taken)}
		},
	} {
		w.write(func(c *daemon.Config) {
			*c = good
			c.Links = append([]daemon.LinkConfig(nil), good.Links...)
			change(c)
		})
		var bad *daemon.ConfigError
		if _, err := a.Reload(t.Context(), false); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if all := a.PeerAddrs(); fmt.Sprint(all) != fmt.Sprintf("[%s]", at.Address) {
			t.Errorf("after %q peers can dial %v", want, all)
		}
	}
	w.err = errors.New("the file cannot be read")
	if _, err := a.bus.Reload(t.Context(), false); err == nil || !strings.Contains(err.Error(), "the file cannot be read") {
		t.Errorf("over the API: %v", err)
	}
	if n := b.wait(limpet.Up).Status().Epochs; n != 1 {
		t.Errorf("the link has had %d epochs", n)
	}
	if _, err := b.bus.Reload(t.Context(), false); err == nil || !strings.Contains(err.Error(), daemon.ErrNoReload.Error()) {
		t.Errorf("a daemon without a file: %v", err)
	}
}
