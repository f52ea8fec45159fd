package daemon

import (
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"google.golang.org/grpc/test/bufconn"

	"github.com/kbus-limpet/limpet/internal/certs"
	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/server/peer"
)

// A connection on which nothing is said, or not enough, is closed after 5 s, with TLS and
// without.
func TestSilentConnections(t *testing.T) {
	f := certs.Folder{Dir: t.TempDir(), Life: time.Hour}
	if _, err := f.Add([]string{"a"}); err != nil {
		t.Fatal(err)
	}
	cert, key := f.Path("a")
	ca, _ := f.Path("ca")
	files, err := identity.Load(identity.Files{Cert: cert, Key: key, CA: ca}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tls  *identity.TLS
		says []byte
	}{
		"plain":               {},
		"plain, half a hello": {nil, []byte("PRI * HT")},
		"TLS":                 {tls: files},
		"TLS, half a hello":   {files, []byte{22, 3, 1, 2, 0, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := slog.New(slog.DiscardHandler)
				node, err := limpet.NewNode(membus.New(), 1, log)
				if err != nil {
					t.Fatal(err)
				}
				host := peer.NewHost(node, func(net.Addr) limpet.Config { return limpet.Config{} }, peer.DefaultBounds)
				server := peerServer(log, identity.Server(c.tls, log, nil), grpcprom.NewServerMetrics(), host, false)
				l := bufconn.Listen(1 << 20)
				ended := make(chan error, 1)
				go func() { ended <- server.Serve(l) }()
				conn, err := l.DialContext(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if _, err := conn.Write(c.says); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, conn); err != nil {
					t.Errorf("reading until the server closes: %v", err)
				}
				if took := time.Since(start); took < connectionTimeout || took > 2*connectionTimeout {
					t.Errorf("the server closed after %v", took)
				}
				_ = conn.Close()
				server.Stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				host.Stop()
				server.health.Stop()
				node.Close(t.Context(), "the test is over")
			})
		})
	}
}
