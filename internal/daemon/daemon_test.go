package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/dropcheck"
	"github.com/kbus-limpet/limpet/internal/leaks"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// A running daemon, in the hands of a test.
type running struct {
	*daemon.Daemon
	t    testing.TB
	api  string
	bus  *client.Bus
	stop func() // ends Run; may be called again
	done chan struct{}
	err  error // of Run, once done
}

func unix(path string) sockaddr.Address { return sockaddr.Address{Network: "unix", Address: path} }

// start runs a daemon with an embedded bus and an API until the test ends.
func start(t testing.TB, cfg daemon.Config) *running {
	t.Helper()
	api := unix(filepath.Join(t.TempDir(), "api"))
	cfg.Bus, cfg.API = daemon.Embedded, &api
	d, err := daemon.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Daemon: d, t: t, api: api.Address, stop: cancel, done: make(chan struct{})}
	go func() { defer close(r.done); r.err = d.Run(ctx, nil) }()
	if r.bus, err = client.Open(api.Address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.bus.Close()
		cancel()
		<-r.done
		if r.err != nil {
			t.Errorf("Run: %v", r.err)
		}
		checkDrops(t, r.Node())
	})
	return r
}

// checkDrops holds what a daemon has told of drops against what it has counted.
func checkDrops(t testing.TB, n *limpet.Node) {
	t.Helper()
	for _, check := range []func(*limpet.Node) error{dropcheck.Links, dropcheck.Bus} {
		if err := check(n); err != nil {
			t.Error(err)
		}
	}
}

// pair runs two linked daemons: b dials a.
func pair(t *testing.T, a, b daemon.Config) (*running, *running) {
	t.Helper()
	a.NetworkID, b.NetworkID = 1, 2
	link := unix(filepath.Join(t.TempDir(), "link"))
	a.Links = append(a.Links, daemon.Accept(link))
	b.Links = append(b.Links, daemon.Dial(link))
	x, y := start(t, a), start(t, b)
	x.wait(limpet.Up)
	y.wait(limpet.Up)
	return x, y
}

// wait waits until the one peering of the daemon is in a state.
func (r *running) wait(want limpet.State) *limpet.Peering {
	r.t.Helper()
	for {
		changed := r.Node().Changed()
		if all := r.Node().Peerings(); len(all) == 1 && all[0].State() == want {
			return all[0]
		}
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			r.t.Fatalf("network %d: no peering gets into the state %v", r.Node().NetworkID(), want)
		}
	}
}

// waitReplier waits until somebody replies to a name.
func (r *running) waitReplier(name string) {
	r.t.Helper()
	for {
		if _, _, found, err := r.bus.FindReplier(r.t.Context(), name); err != nil {
			r.t.Fatal(err)
		} else if found {
			return
		}
	}
}

// A stop does not wait for connections that say nothing, of whatever kind: gRPC alone
// would wait two minutes.
func TestStopIsQuickWhateverIsOpen(t *testing.T) {
	dir := t.TempDir()
	link, classic := unix(filepath.Join(dir, "link")), unix(filepath.Join(dir, "classic"))
	r := start(t, daemon.Config{
		NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(link), {Address: classic, Listen: true, Classic: true}}, Metrics: "127.0.0.1:0",
	})
	if _, err := r.bus.Listen(t.Context(), client.ListenConfig{Names: []string{"$.*"}}); err != nil {
		t.Fatal(err)
	}
	for range 20 { // more than a stream takes that is never read
		if _, err := r.bus.Send(t.Context(), &kbusdev.Message{Name: "$.A", Data: make([]byte, 100_000)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []net.Addr{&net.UnixAddr{Net: "unix", Name: r.api}, r.PeerAddrs()[0], r.PeerAddrs()[1], r.MetricsAddr()} {
		conn, err := net.Dial(a.Network(), a.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	r.stop()
	select {
	case <-r.done:
	case <-time.After(30 * time.Second):
		t.Error("the daemon does not stop within 30 s")
	}
}

// When the replier's daemon stops, what is open there is answered first, by the replier.
// Both daemons know why the link has ended.
func TestOpenRequestIsAnsweredBeforeTheStop(t *testing.T) {
	a, b := pair(t, daemon.Config{}, daemon.Config{})
	replier, err := b.bus.Serve(t.Context(), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	a.waitReplier("$.Ask")
	type answer struct {
		m   *kbusdev.Message
		err error
	}
	got := make(chan answer, 1)
	go func() {
		m, err := a.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Ask"})
		got <- answer{m, err}
	}()
	q, err := replier.Recv()
	if err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.wait(limpet.Draining)
	if err := replier.Reply(q, "", []byte("in time")); err != nil {
		t.Fatal(err)
	}
	if r := <-got; r.err != nil || string(r.m.Data) != "in time" {
		t.Errorf("the asker gets %+v, %v", r.m, r.err)
	}
	<-b.done
	p := a.wait(limpet.Connecting)
	if why := p.Status().LastErr; why == nil || !strings.Contains(why.Error(), "the daemon is stopping") {
		t.Errorf("the link has ended because: %v", why)
	}
}

// The side that is dialled tells why, too.
func TestAcceptingDaemonTellsWhyItStops(t *testing.T) {
	a, b := pair(t, daemon.Config{}, daemon.Config{})
	a.stop()
	<-a.done
	b.wait(limpet.Connecting) // at once, for a peer that drains is not waited for
}

// The termination message stops the daemon also while no peer is linked.
func TestTerminationMessageWithoutLink(t *testing.T) {
	r := start(t, daemon.Config{Limpet: limpet.Config{Termination: "$.Stop"}})
	if _, err := r.bus.Send(t.Context(), &kbusdev.Message{Name: "$.Stop"}); err != nil {
		t.Fatal(err)
	}
	<-r.done
}

// What cannot be listened on is an error, and leaves nothing behind.
func TestOpenFails(t *testing.T) {
	before := goleak.IgnoreCurrent()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := daemon.Open(t.Context(), daemon.Config{Bus: daemon.Embedded, NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(unix(file))}})
	if !errors.Is(err, sockaddr.ErrInUse) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("a file in the way: %v", err)
	}
	leaks.Verify(t, before)
}

// Peers' sockets and the API's are for this user alone.
func TestSocketsArePrivate(t *testing.T) {
	link := unix(filepath.Join(t.TempDir(), "link"))
	r := start(t, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(link)}})
	for _, path := range []string{link.Address, r.api} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// Counts and the name of a link stay when its daemon at the other end is another one.
func TestMetricsOutliveEpochs(t *testing.T) {
	link := unix(filepath.Join(t.TempDir(), "link"))
	a := start(t, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{daemon.Dial(link)}, Metrics: "127.0.0.1:0"})
	name := "connect " + link.Address
	for epoch := 1; epoch <= 2; epoch++ {
		b := start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Accept(link)}})
		a.wait(limpet.Up)
		r, err := b.bus.Serve(t.Context(), 0, "$.Ask")
		if err != nil {
			t.Fatal(err)
		}
		a.waitReplier("$.Ask")
		go func() {
			if q, err := r.Recv(); err == nil {
				_ = r.Reply(q, "", nil)
			}
		}()
		if _, err := a.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Ask"}); err != nil {
			t.Fatal(err)
		}
		b.stop()
		<-b.done
		a.wait(limpet.Connecting)
		page := a.metrics()
		for _, want := range []string{
			fmt.Sprintf(`limpet_requests_total{end="replied",link=%q} %d`, name, epoch),
			fmt.Sprintf(`limpet_epochs_total{link=%q} %d`, name, epoch),
			fmt.Sprintf(`limpet_link_state{link=%q,state="connecting"} 1`, name),
			fmt.Sprintf(`limpet_link_up{link=%q} 0`, name),
			"limpet_api_missed_total 0",
			"# TYPE limpet_messages_total counter",
		} {
			if !strings.Contains(page, want+"\n") {
				t.Errorf("after %d epochs the metrics have no %s:\n%s", epoch, want, page)
			}
		}
	}
}

func (r *running) metrics() string {
	r.t.Helper()
	resp, err := http.Get("http://" + r.MetricsAddr().String() + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(page)
}

// Of many calls at once, each gets its answer: gRPC's keepalive must not take a client
// that has much to read for a dead one.
func TestManyCallsAtOnce(t *testing.T) {
	calls := 5_000
	if os.Getenv("LIMPET_TEST") == "long" {
		calls = 50_000
	}
	r := start(t, daemon.Config{})
	replier, err := r.bus.Serve(t.Context(), 65536, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			q, err := replier.Recv()
			if err != nil {
				return
			}
			if err := replier.Reply(q, "", q.Data); err != nil {
				return
			}
		}
	}()
	var all sync.WaitGroup
	var mu sync.Mutex
	failures := make(map[string]int)
	for range calls {
		all.Go(func() {
			m, err := r.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Ask"})
			var why string
			switch {
			case err != nil:
				why = err.Error()
			case m.Name != "$.Ask":
				why = m.Name
			default:
				return
			}
			mu.Lock()
			defer mu.Unlock()
			failures[why]++
		})
	}
	all.Wait()
	if len(failures) > 0 {
		t.Errorf("of %d calls these failed: %v", calls, failures)
	}
}
