package identity

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/kbus-limpet/limpet/internal/certs"
	"github.com/kbus-limpet/limpet/internal/leaks"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(dialFor); path != "" {
		os.Exit(dialAndWait(path))
	}
	leaks.Main(m)
}

const dialFor = "LIMPET_TEST_DIAL" // a socket for another process to dial

func dialAndWait(path string) int {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 1
	}
	_, _ = conn.Read(make([]byte, 1)) // until the test closes it
	return 0
}

// filesOf makes certificates in a folder; the files are those of the first host.
func filesOf(t testing.TB, dir string, hosts ...string) Files {
	t.Helper()
	f := certs.Folder{Dir: dir, Life: time.Hour}
	if _, err := f.Add(hosts); err != nil {
		t.Fatal(err)
	}
	return named(dir, hosts[0])
}

func named(dir, host string) Files {
	f := certs.Folder{Dir: dir}
	name, _, _ := strings.Cut(host, ",")
	ca, _ := f.Path("ca")
	cert, key := f.Path(name)
	return Files{Cert: cert, Key: key, CA: ca}
}

// loaded reads the files, and looks at them again at each handshake.
func loaded(t testing.TB, files Files, log *slog.Logger) *TLS {
	t.Helper()
	x, err := Load(files, log)
	if err != nil {
		t.Fatal(err)
	}
	x.every = 0
	return x
}

// lines is a log that keeps what it is told.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// take returns what has been logged since the last time.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func newLog() (*slog.Logger, *lines) {
	l := new(lines)
	return slog.New(slog.NewTextHandler(l, nil)), l
}

// connect returns both ends of a connection.
func connect(t testing.TB, network string) (dialled, accepted net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialled, err = net.Dial(network, l.Addr().String()); err == nil {
		accepted, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialled.Close(); _ = accepted.Close() })
	return dialled, accepted
}

// An end is what a handshake gave one of its sides.
type end struct {
	conn net.Conn
	auth credentials.AuthInfo
	err  error
}

// ctx is what gRPC shows of it.
func (e end) ctx() context.Context {
	return peer.NewContext(context.Background(), &peer.Peer{AuthInfo: e.auth})
}

// shake does a handshake. As the dialling side of TLS 1.3 has done its part before it knows
// whether it is accepted, one byte then goes the other way.
func shake(t testing.TB, client, server credentials.TransportCredentials, network, authority string) (dialled, accepted end) {
	t.Helper()
	dialled.conn, accepted.conn = connect(t, network)
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw := accepted.conn
		if accepted.conn, accepted.auth, accepted.err = server.ServerHandshake(raw); accepted.err != nil {
			_ = raw.Close()
			return
		}
		_, accepted.err = accepted.conn.Write([]byte{'x'})
	}()
	raw := dialled.conn
	if dialled.conn, dialled.auth, dialled.err = client.ClientHandshake(t.Context(), authority, raw); dialled.err == nil {
		_, dialled.err = dialled.conn.Read(make([]byte, 1))
	} else {
		_ = raw.Close()
	}
	<-done
	return dialled, accepted
}
