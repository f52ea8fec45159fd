package daemon_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/kbus-limpet/limpet/client/peer"
	"github.com/kbus-limpet/limpet/internal/certs"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
)

// A folder of certificates.
type folder struct{ certs.Folder }

func newFolder(t testing.TB, hosts ...string) folder {
	t.Helper()
	f := folder{certs.Folder{Dir: t.TempDir(), Life: time.Hour}}
	f.add(t, hosts...)
	return f
}

func (f folder) add(t testing.TB, hosts ...string) {
	t.Helper()
	if _, err := f.Add(hosts); err != nil {
		t.Fatal(err)
	}
}

// tls returns what the daemon of a host is given.
func (f folder) tls(host string) *daemon.TLS {
	cert, key := f.Path(host)
	ca, _ := f.Path("ca")
	return &daemon.TLS{Cert: cert, Key: key, CA: ca}
}

// A logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newLog() (*slog.Logger, *logBuffer) {
	l := new(logBuffer)
	return slog.New(slog.NewTextHandler(l, nil)), l
}

// await looks until it is true.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	limit := time.After(30 * time.Second)
	for !is() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("half a minute later it is not true that %s", what)
		}
	}
}

var anyPort = sockaddr.Address{Network: "tcp", Address: "127.0.0.1:0"}

func accept(a sockaddr.Address) []daemon.LinkConfig { return []daemon.LinkConfig{daemon.Accept(a)} }
func dial(a sockaddr.Address) []daemon.LinkConfig   { return []daemon.LinkConfig{daemon.Dial(a)} }

func addrOf(r *running) sockaddr.Address {
	a := r.PeerAddrs()[0]
	return sockaddr.Address{Network: a.Network(), Address: a.String()}
}

// dialWith keeps dialling a daemon, and returns the peering.
func dialWith(t *testing.T, to sockaddr.Address, creds credentials.TransportCredentials) *limpet.Peering {
	t.Helper()
	node, err := limpet.NewNode(membus.New(), 9, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d := &peer.Dialler{Node: node, Name: "dialled", Address: to, Credentials: creds}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		node.Close(context.Background(), "the test is over")
	})
	await(t, "there is a peering", func() bool { return len(node.Peerings()) == 1 })
	return node.Peerings()[0]
}

// Who is not known is refused by either end, in words that help, and disturbs nobody.
func TestStrangers(t *testing.T) {
	ours := newFolder(t, "server,127.0.0.1", "misnamed", "client")
	theirs := newFolder(t, "server,127.0.0.1", "client")
	mixed := func(host string) *daemon.TLS { // a certificate of theirs, but our CA
		x := theirs.tls(host)
		x.CA = ours.tls(host).CA
		return x
	}
	expired := folder{certs.Folder{Dir: ours.Dir, Life: -time.Minute}}
	expired.add(t, "old")
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(ours.tls("client").CA); err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server, client *daemon.TLS
		creds          credentials.TransportCredentials // in place of the client's
		here, there    string                           // what the client and the server say
	}{
		"no certificate": {
			server: ours.tls("server"), creds: credentials.NewTLS(&tls.Config{RootCAs: roots}),
			here: "the other end does not accept this end's certificate: certificate required", there: "client didn't provide a certificate",
		},
		"a certificate of another CA": {
			server: ours.tls("server"), client: mixed("client"),
			here: "the other end does not accept this end's certificate: ", there: "certificate is not signed by a CA in " + ours.tls("").CA,
		},
		"an expired certificate": {
			server: ours.tls("server"), client: ours.tls("old"),
			here: "the other end does not accept this end's certificate: ", there: `the other end's certificate for \"old\": `,
		},
		"a server of another CA": {
			server: mixed("server"), client: ours.tls("client"),
			here: "certificate is not signed by a CA in " + ours.tls("").CA, there: "the other end does not accept our certificate " + mixed("server").Cert,
		},
		"a server of another name": {
			server: ours.tls("misnamed"), client: ours.tls("client"),
			here: `the certificate is for "misnamed", not for 127.0.0.1`, there: "the other end does not accept our certificate",
		},
		"no TLS at the client": {
			server: ours.tls("server"),
			here:   "the other end hung up before it said anything: perhaps it wants TLS", there: "the other end speaks no TLS",
		},
		"no TLS at the server": {
			client: ours.tls("client"),
			here:   "the other end speaks no TLS", there: "it wants TLS, which this address does not offer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, said := newLog()
			server := start(t, daemon.Config{NetworkID: 1, Links: accept(anyPort), TLS: c.server, Log: log})
			var p *limpet.Peering
			if c.creds != nil {
				p = dialWith(t, addrOf(server), c.creds)
			} else {
				client := start(t, daemon.Config{NetworkID: 2, Links: dial(addrOf(server)), TLS: c.client})
				await(t, "there is a peering", func() bool { return len(client.Node().Peerings()) == 1 })
				p = client.Node().Peerings()[0]
			}
			await(t, fmt.Sprintf("the client says %q; it says %v", c.here, p.Status().LastErr), func() bool {
				err := p.Status().LastErr
				return err != nil && strings.Contains(err.Error(), c.here)
			})
			await(t, fmt.Sprintf("the server says %q; it says %s", c.there, said), func() bool { return strings.Contains(said.String(), c.there) })
			if all := server.Node().Peerings(); len(all) != 0 || p.State() != limpet.Connecting {
				t.Errorf("there are %v, and the link is %v", all, p.State())
			}
			if c.server == nil || c.server.Cert != ours.tls("server").Cert {
				return
			}
			friend := start(t, daemon.Config{NetworkID: 3, Links: dial(addrOf(server)), TLS: ours.tls("client")})
			friend.wait(limpet.Up)
			st := server.wait(limpet.Up).Status()
			if st.Transport != "tls" || st.Identity.String() != "client" {
				t.Errorf("the friend is %v, over %s", st.Identity, st.Transport)
			}
			links, err := friend.bus.LinkStatus(t.Context(), "", 0)
			if err != nil || links[0].GetTransport() != "tls" || links[0].GetIdentity() != "server" {
				t.Errorf("the server is %v, %v", links, err)
			}
		})
	}
}

// Each link that is dialled may expect a name of its own.
func TestNamesOfLinks(t *testing.T) {
	ours := newFolder(t, "server,spiffe://example.org/server", "client")
	server := start(t, daemon.Config{NetworkID: 1, Links: accept(anyPort), TLS: ours.tls("server")})
	for i, names := range [][2]string{{"server", ""}, {"", "server"}, {"nobody", "server"}, {"nobody", "spiffe://example.org/server"}} {
		to := daemon.Dial(addrOf(server))
		to.TLSName = names[1]
		all := ours.tls("client")
		all.Name = names[0]
		client := start(t, daemon.Config{NetworkID: uint32(2 + i), Links: []daemon.LinkConfig{to}, TLS: all})
		client.wait(limpet.Up)
		client.stop()
		<-client.done
	}
}

// What a reload adds is judged as at the start, and said.
func TestInsecureAtAReload(t *testing.T) {
	var mu sync.Mutex
	log, said := newLog()
	cfg := daemon.Config{Bus: daemon.Embedded, NetworkID: 1, Links: accept(anyPort), Insecure: true, Log: log}
	change := func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		f()
	}
	cfg.Load = func() (now daemon.Config, err error) {
		change(func() { now = cfg })
		return now, nil
	}
	r := start(t, cfg)
	change(func() { cfg.API = &sockaddr.Address{Network: "unix", Address: r.api} })
	if err := r.bus.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	change(func() { cfg.Links = append(cfg.Links, daemon.Accept(sockaddr.Address{Network: "tcp", Address: ":0"})) })
	if _, err := r.Reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if st, err := r.bus.Status(t.Context()); err != nil || !slices.Equal(st.GetInsecure(), []string{"--listen :0"}) || strings.Count(said.String(), "INSECURE") != 1 {
		t.Errorf("%q, %v, %s", st.GetInsecure(), err, said)
	}
	change(func() { cfg.Insecure = false })
	if _, err := r.Reload(t.Context(), false); err == nil || !strings.Contains(err.Error(), "without TLS anybody could join") {
		t.Errorf("without --insecure: %v", err)
	}
}

// Over a Unix socket the link's identity is the process at the other end; over TCP without
// TLS it is nobody's.
func TestIdentityOfALink(t *testing.T) {
	for network, want := range map[string]string{"unix": fmt.Sprintf("uid %d (pid %d)", os.Geteuid(), os.Getpid()), "plain": "unknown"} {
		for _, old := range []bool{false, true} {
			at := daemon.Accept(anyPort)
			if network == "unix" {
				at = daemon.Accept(unix(filepath.Join(t.TempDir(), "link")))
			}
			at.Classic = old
			x := start(t, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{at}})
			to := daemon.Dial(addrOf(x))
			to.Classic = old
			y := start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{to}})
			for _, r := range []*running{x, y} {
				r.wait(limpet.Up)
				links, err := r.bus.LinkStatus(t.Context(), "", 0)
				if err != nil || links[0].GetTransport() != network || links[0].GetIdentity() != want {
					t.Errorf("%s, classic %v: %v, %v; want %s", network, old, links, err, want)
				}
			}
		}
	}
}

// What --insecure allows is said in the log and in the status; nothing else is.
func TestInsecureIsSaid(t *testing.T) {
	for _, insecure := range []bool{true, false} {
		log, said := newLog()
		at := anyPort
		if insecure {
			at.Address = ":0"
		}
		r := start(t, daemon.Config{NetworkID: 1, Insecure: insecure, Links: accept(at), Log: log})
		st, err := r.bus.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool][]string{true: {"--listen :0"}}[insecure]; !slices.Equal(st.GetInsecure(), want) {
			t.Errorf("insecure %v: the status has %q", insecure, st.GetInsecure())
		}
		if strings.Contains(said.String(), "level=WARN msg=\"INSECURE") != insecure {
			t.Errorf("insecure %v: the log has %s", insecure, said)
		}
	}
}

func TestSocketsOfGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can choose any group")
	}
	link := unix(filepath.Join(t.TempDir(), "made", "link"))
	r := start(t, daemon.Config{NetworkID: 1, Links: accept(link), PeerGroup: "12345", APIGroup: "23456"})
	for path, group := range map[string]uint32{link.Address: 12345, r.api: 23456} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o660 || info.Sys().(*syscall.Stat_t).Gid != group {
			t.Errorf("%s: %v, %v; want group %d", path, info, err, group)
		}
	}
	if info, err := os.Stat(filepath.Dir(link.Address)); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the folder that was made: %v, %v", info.Mode(), err)
	}
}

// replace puts what stands in a file into another, as a tool that renews certificates does.
func replace(t *testing.T, path string, from ...string) {
	t.Helper()
	var all []byte
	for _, f := range from {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	if err := os.WriteFile(path+".new", all, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A whole change of the CA, and of all certificates, while messages pass: no link breaks,
// each request is answered, and new connections are judged by the new CA alone.
func TestNewCertificatesUnderLoad(t *testing.T) {
	t.Parallel()
	before, after := newFolder(t, "a,127.0.0.1", "b"), newFolder(t, "a2,127.0.0.1", "b2", "c")
	log, said := newLog()
	x := start(t, daemon.Config{NetworkID: 1, Links: accept(anyPort), TLS: before.tls("a"), Log: log})
	y := start(t, daemon.Config{NetworkID: 2, Links: dial(addrOf(x)), TLS: before.tls("b")})
	x.wait(limpet.Up)
	y.wait(limpet.Up)

	replier, err := x.bus.Serve(t.Context(), 0, "$.N")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			q, err := replier.Recv()
			if err != nil || replier.Reply(q, "", q.Data) != nil {
				return
			}
		}
	}()
	y.waitReplier("$.N")
	calls, stop, stopped := 0, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := y.bus.Call(t.Context(), &kbusdev.Message{Name: "$.N"}); err != nil {
				t.Errorf("call %d: %v", calls, err)
				return
			}
			calls++
		}
	}()

	// First both CAs count, then there are new certificates, then the old CA is forgotten.
	serverNow := func() string { // whose certificate the server shows
		var names []string
		conn, err := tls.Dial("tcp", addrOf(x).Address, &tls.Config{
			InsecureSkipVerify: true, NextProtos: []string{"h2"}, // only to look at it
			VerifyConnection: func(s tls.ConnectionState) error { names = s.PeerCertificates[0].DNSNames; return nil },
		})
		if err == nil {
			_ = conn.Close()
		}
		return strings.Join(names, " ")
	}
	ca, newCA := before.tls("a").CA, after.tls("c").CA
	replace(t, ca, ca, newCA)
	replace(t, before.tls("a").Key, after.tls("a2").Key)
	replace(t, before.tls("a").Cert, after.tls("a2").Cert)
	await(t, "the server shows its new certificate", func() bool { return serverNow() == "a2" })
	replace(t, before.tls("b").Key, after.tls("b2").Key)
	replace(t, before.tls("b").Cert, after.tls("b2").Cert)
	replace(t, ca, newCA)
	reloads := func() int { return strings.Count(said.String(), "the TLS files have changed") }
	await(t, "the server knows the new CA", func() bool { serverNow(); return reloads() == 2 })
	if n := strings.Count(said.String(), "cannot be used"); n > 1 { // between key and certificate
		t.Errorf("%d times the files could not be used: %s", n, said)
	}

	z := start(t, daemon.Config{NetworkID: 3, Links: dial(addrOf(x)), TLS: after.tls("c")})
	z.wait(limpet.Up)
	close(stop)
	<-stopped
	if calls == 0 {
		t.Error("nothing was asked")
	}
	t.Logf("%d calls were answered", calls)
	for _, r := range []*running{x, y} {
		for _, p := range r.Node().Peerings() {
			if st := p.Status(); st.Resumed != 0 || st.Epochs != 1 || st.State != limpet.Up {
				t.Errorf("network %d: %+v", r.Node().NetworkID(), st)
			}
		}
	}
}

// Files that cannot be used are the configuration's fault.
func TestTLSFilesThatAreMissing(t *testing.T) {
	api := unix(filepath.Join(t.TempDir(), "api"))
	_, err := daemon.Open(t.Context(), daemon.Config{Bus: daemon.Embedded, API: &api, TLS: newFolder(t, "a").tls("b")})
	var bad *daemon.ConfigError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "b.pem: no such file") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(api.Address); !os.IsNotExist(err) {
		t.Errorf("the API is there: %v", err)
	}
}
