package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/kbus-limpet/limpet/internal/certs"
)

func TestTLSIdentity(t *testing.T) {
	dir := t.TempDir()
	server := filesOf(t, dir, "server,127.0.0.1,spiffe://example.org/server", "client.example.org,client,spiffe://example.org/client")
	log, said := newLog()
	dialled, accepted := shake(t,
		Client(loaded(t, named(dir, "client.example.org"), nil), ""), Server(loaded(t, server, nil), log, nil), "tcp", "127.0.0.1:7000")
	if dialled.err != nil || accepted.err != nil {
		t.Fatal(dialled.err, accepted.err)
	}
	for _, x := range []struct {
		end  end
		want []string
	}{
		{dialled, []string{"spiffe://example.org/server", "server"}},
		{accepted, []string{"spiffe://example.org/client", "client.example.org", "client"}},
	} {
		who := FromContext(x.end.ctx())
		if !slices.Equal(who.Names, x.want) || who.Process != nil || TransportOf(x.end.ctx()) != Encrypted {
			t.Errorf("%v over %s, want %v", who, TransportOf(x.end.ctx()), x.want)
		}
		state := x.end.auth.(*tlsInfo).State
		if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "h2" {
			t.Errorf("%+v", state)
		}
		if err := credentials.CheckSecurityLevel(x.end.auth, credentials.PrivacyAndIntegrity); err != nil {
			t.Error(err)
		}
	}
	if got := said.take(); got != "" {
		t.Errorf("the log has %s", got)
	}
}

// A server is who it was expected to be.
func TestServersName(t *testing.T) {
	dir := t.TempDir()
	server := filesOf(t, dir, "server.example.org,192.0.2.1,spiffe://example.org/server", "client")
	other := filesOf(t, t.TempDir(), "server.example.org,192.0.2.1,spiffe://example.org/server")
	client := loaded(t, named(dir, "client"), nil)
	for _, c := range []struct{ name, authority, want string }{
		{"", "server.example.org:7000", ""},
		{"", "SERVER.example.org", ""},
		{"", "192.0.2.1:7000", ""},
		{"server.example.org", "elsewhere:7000", ""},
		{"192.0.2.1", "elsewhere:7000", ""},
		{"spiffe://example.org/server", "elsewhere:7000", ""},
		{"", "elsewhere:7000", `the certificate is for "spiffe://example.org/server", "server.example.org", 192.0.2.1, not for elsewhere; dial it by one of these names, or name the one to expect with --tls-name`},
		{"", "192.0.2.2:7000", "not for 192.0.2.2;"},
		{"client", "server.example.org:7000", "not for client;"},
		{"spiffe://example.org/other", "server.example.org:7000", "not for spiffe://example.org/other, which was to be expected"},
	} {
		for _, stranger := range []bool{false, true} {
			files, want := server, c.want
			if stranger {
				if want != "" { // crypto/tls looks at the name first
					continue
				}
				files, want = other, "not signed by a CA in "+named(dir, "client").CA
			}
			dialled, accepted := shake(t, Client(client, c.name), Server(loaded(t, files, nil), nil, nil), "tcp", c.authority)
			if want == "" {
				if dialled.err != nil || accepted.err != nil {
					t.Errorf("%+v: %v, %v", c, dialled.err, accepted.err)
				}
				continue
			}
			var refused *RefusedError
			if !errors.As(dialled.err, &refused) || !strings.Contains(dialled.err.Error(), want) {
				t.Errorf("%+v: %v, want %q", c, dialled.err, want)
			}
			if accepted.err == nil || !strings.Contains(accepted.err.Error(), "the other end does not accept our certificate "+files.Cert) {
				t.Errorf("%+v: the server says %v", c, accepted.err)
			}
		}
	}
}

// sign makes a pair of files with a CA of its own choice.
func sign(t *testing.T, ca *certs.CA, caPEM []byte, names string, from, until time.Time) Files {
	t.Helper()
	n, err := certs.ParseNames(strings.Split(names, ","))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.Sign(n, from, until)
	if err != nil {
		t.Fatal(err)
	}
	files := named(t.TempDir(), "x")
	for path, data := range map[string][]byte{files.Cert: p.Cert, files.Key: p.Key, files.CA: caPEM} {
		write(t, path, data)
	}
	return files
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Certificates that have expired, or are not valid yet, are refused, from either end.
func TestExpired(t *testing.T) {
	now := time.Now()
	ca, p, err := certs.NewCA(now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, ca, p.Cert, "localhost", now.Add(-time.Hour), now.Add(time.Hour))
	for name, files := range map[string]Files{
		"has expired": sign(t, ca, p.Cert, "localhost", now.Add(-time.Hour), now.Add(-time.Minute)),
		"not yet":     sign(t, ca, p.Cert, "localhost", now.Add(time.Minute), now.Add(time.Hour)),
	} {
		log, said := newLog()
		bad := loaded(t, files, log)
		if got := said.take(); !strings.Contains(got, "nobody will accept it") {
			t.Errorf("%s: the log has %q", name, got)
		}
		const want = `the other end's certificate for "localhost": `
		dialled, accepted := shake(t, Client(loaded(t, good, nil), ""), Server(bad, nil, nil), "tcp", "localhost")
		if dialled.err == nil || !strings.Contains(dialled.err.Error(), want) || accepted.err == nil {
			t.Errorf("a server that %s: %v, %v", name, dialled.err, accepted.err)
		}
		dialled, accepted = shake(t, Client(bad, ""), Server(loaded(t, good, nil), log, nil), "tcp", "localhost")
		if accepted.err == nil || !strings.Contains(accepted.err.Error(), want) || dialled.err == nil {
			t.Errorf("a client that %s: %v, %v", name, accepted.err, dialled.err)
		}
		if got := said.take(); strings.Count(got, "refusing a connection") != 1 || !strings.Contains(got, "from=127.0.0.1") {
			t.Errorf("a client that %s: the log has %q", name, got)
		}
	}
}

// What is put into the files counts from the next handshake on; what cannot be used does
// not, and is said once.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	files := filesOf(t, dir, "localhost,first", "client")
	mine := named(dir, "client")
	mine.CA = dir + "/clients-ca.pem"
	write(t, mine.CA, read(t, files.CA))
	log, said := newLog()
	server, client := loaded(t, files, log), loaded(t, mine, nil)
	namesNow := func() []string {
		t.Helper()
		dialled, accepted := shake(t, Client(client, ""), Server(server, nil, nil), "tcp", "localhost")
		if dialled.err != nil || accepted.err != nil {
			t.Fatal(dialled.err, accepted.err)
		}
		return FromContext(dialled.ctx()).Names
	}
	expect := func(name string, logged int, words string) {
		t.Helper()
		for range 2 { // once counts as much as twice
			if got := namesNow(); !slices.Contains(got, name) {
				t.Errorf("the server is %v, want %s", got, name)
			}
		}
		if got := said.take(); strings.Count(got, "\n") != logged || !strings.Contains(got, words) {
			t.Errorf("the log has %q, want %d lines, with %q", got, logged, words)
		}
	}
	said.take()
	expect("first", 0, "")

	next := t.TempDir()
	for _, name := range []string{"ca.pem", "ca.key"} {
		write(t, next+"/"+name, read(t, dir+"/"+name))
	}
	second := filesOf(t, next, "localhost,second", "other")
	write(t, files.Cert, read(t, second.Cert))
	expect("first", 1, "private key does not match public key")
	write(t, files.Key, read(t, second.Key))
	expect("second", 1, "the TLS files have changed")

	write(t, files.Cert, []byte("broken"))
	expect("second", 1, "cannot be used")
	write(t, files.Cert, read(t, second.Cert))
	expect("second", 1, "the TLS files have changed")
	if err := os.Remove(files.CA); err != nil {
		t.Fatal(err)
	}
	expect("second", 1, "no such file")
	write(t, files.CA, read(t, second.CA))
	expect("second", 1, "the TLS files have changed")

	// Another CA: whom the old one has signed is a stranger then.
	other := filesOf(t, t.TempDir(), "client")
	write(t, files.CA, read(t, other.CA))
	dialled, accepted := shake(t, Client(client, ""), Server(server, nil, nil), "tcp", "localhost")
	if accepted.err == nil || !strings.Contains(accepted.err.Error(), "not signed by a CA") || dialled.err == nil {
		t.Errorf("%v, %v", accepted.err, dialled.err)
	}
}

// Handshakes and changes of the files go on at the same time.
func TestReloadUnderLoad(t *testing.T) {
	dir := t.TempDir()
	files := filesOf(t, dir, "localhost", "client")
	server, client := loaded(t, files, nil), loaded(t, named(dir, "client"), nil)
	pair := [][]byte{read(t, files.Cert), read(t, files.Key)}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				dialled, accepted := shake(t, Client(client, ""), Server(server, nil, nil), "tcp", "localhost")
				if dialled.err != nil || accepted.err != nil {
					t.Error(dialled.err, accepted.err)
				}
			}
		})
	}
	for range 20 {
		write(t, files.Key, nil)
		write(t, files.Cert, pair[0][:100])
		write(t, files.Key, pair[1])
		write(t, files.Cert, pair[0])
	}
	all.Wait()
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	good := filesOf(t, dir, "a", "b")
	with := func(change func(*Files)) Files {
		f := good
		change(&f)
		return f
	}
	empty := dir + "/empty"
	write(t, empty, nil)
	for name, c := range map[string]struct {
		files Files
		want  []string
	}{
		"no certificate": {with(func(f *Files) { f.Cert = dir + "/none" }), []string{dir + "/none", "no such file"}},
		"empty":          {with(func(f *Files) { f.Cert = empty }), []string{empty, good.Key, "PEM"}},
		"another's key":  {with(func(f *Files) { f.Key = named(dir, "b").Key }), []string{named(dir, "b").Key, "does not match"}},
		"no CA in it":    {with(func(f *Files) { f.CA = empty }), []string{empty, "no certificate in PEM"}},
		"a key for a CA": {with(func(f *Files) { f.CA = good.Key }), []string{good.Key, `"PRIVATE KEY"`}},
		"a folder":       {with(func(f *Files) { f.CA = dir }), []string{dir, "no file"}},
		"a device":       {with(func(f *Files) { f.CA = "/dev/zero" }), []string{"/dev/zero", "no file"}},
	} {
		_, err := Load(c.files, nil)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}

func TestKeyThatAllCanRead(t *testing.T) {
	files := filesOf(t, t.TempDir(), "a")
	if err := os.Chmod(files.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	log, said := newLog()
	loaded(t, files, log)
	if got := said.take(); !strings.Contains(got, "chmod o-r") {
		t.Errorf("the log has %q", got)
	}
}

// One end has TLS, the other has not: both are told, in words that help.
func TestTLSAndPlain(t *testing.T) {
	dir := t.TempDir()
	tlsFiles := loaded(t, filesOf(t, dir, "localhost"), nil)
	log, said := newLog()
	server, accepted := shake(t, Client(tlsFiles, ""), plainServer{Server(nil, log, nil)}, "tcp", "localhost")
	if server.err == nil || !strings.Contains(server.err.Error(), "the other end speaks no TLS") {
		t.Errorf("a client with TLS: %v", server.err)
	}
	if got := said.take(); !strings.Contains(got, "it wants TLS, which this address does not offer") || accepted.err != nil {
		t.Errorf("a server without: %v, the log has %q", accepted.err, got)
	}
	c, s := connect(t, "tcp")
	if _, err := c.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Server(tlsFiles, log, nil).ServerHandshake(s); err == nil || !strings.Contains(err.Error(), "the other end speaks no TLS") {
		t.Errorf("a server with TLS: %v", err)
	}
	if got := said.take(); !strings.Contains(got, "speaks no TLS") {
		t.Errorf("a server with TLS: the log has %q", got)
	}
}

// A plainServer answers as gRPC does, with the first frame of HTTP/2.
type plainServer struct {
	credentials.TransportCredentials
}

func (p plainServer) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	out, auth, err := p.TransportCredentials.ServerHandshake(conn)
	if err == nil {
		_, err = out.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0})
	}
	return out, auth, err
}

// A server that gRPC gives up waiting for says so.
func TestSilentHandshake(t *testing.T) {
	tlsFiles := loaded(t, filesOf(t, t.TempDir(), "localhost"), nil)
	log, said := newLog()
	_, s := connect(t, "tcp")
	if err := s.SetDeadline(time.Now()); err != nil { // as gRPC bounds it
		t.Fatal(err)
	}
	if _, _, err := Server(tlsFiles, log, nil).ServerHandshake(s); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(said.take(), "took too long") {
		t.Errorf("a silent client: %v", err)
	}
	_, s = connect(t, "tcp")
	if err := s.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, auth, err := Server(nil, log, nil).ServerHandshake(s); err != nil || auth.AuthType() != "plain" {
		t.Errorf("a silent client without TLS: %v, %v", auth, err)
	}
	c, _ := connect(t, "tcp")
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if _, _, err := Client(tlsFiles, "").ClientHandshake(ctx, "localhost", c); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a silent server: %v", err)
	}
}

// No CA file makes the daemon panic, or is half believed.
func FuzzRoots(f *testing.F) {
	_, p, err := certs.NewCA(time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Cert)
	f.Add(append(slices.Clone(p.Cert), p.Cert...))
	f.Add(append(slices.Clone(p.Cert), p.Key...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		roots := x509.NewCertPool()
		if err := addRoots(roots, data); err == nil && roots.Equal(x509.NewCertPool()) {
			t.Errorf("%q is a CA file without a CA", data)
		}
	})
}
