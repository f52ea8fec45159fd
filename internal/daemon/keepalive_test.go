package daemon

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/server/admin"
	"github.com/kbus-limpet/limpet/server/bus"
)

// A gate is a connection whose reader can be held up, as that of a process that is
// stopped, or that has no time.
type gate struct {
	net.Conn
	read chan struct{} // has room for one: the turn to read
}

func (g *gate) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	g.read <- struct{}{}
	<-g.read
	return n, err
}

// A program that is stopped for 20 s has its bindings still. gRPC's keepalive of 5 s and
// 3 s took them away, and ended the calls of clients who had too much to do with "EOF".
func TestStoppedClientKeepsItsBindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		node, err := limpet.NewNode(membus.New(), 1, log)
		if err != nil {
			t.Fatal(err)
		}
		programs := bus.New(node.Bus())
		server := apiServer(log, identity.Server(nil, nil, nil), grpcprom.NewServerMetrics(), &authoriser{rules: new(rulebook)}, node, programs, &admin.Service{Node: node}, true)
		l := bufconn.Listen(1 << 20)
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(l) }()
		var g *gate
		conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				c, err := l.DialContext(ctx)
				g = &gate{Conn: c, read: make(chan struct{}, 1)}
				return g, err
			}))
		if err != nil {
			t.Fatal(err)
		}
		api := pb.NewBusServiceClient(conn)
		listener, err := api.Listen(t.Context(), &pb.ListenRequest{Names: []string{"$.A"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := listener.Recv(); err != nil {
			t.Fatal(err)
		}
		g.read <- struct{}{}
		<-time.After(20 * time.Second)
		<-g.read
		if _, err := api.Send(t.Context(), &pb.SendRequest{Name: "$.A"}); err != nil {
			t.Error(err)
		}
		if r, err := listener.Recv(); err != nil || r.GetMessage().GetName() != "$.A" {
			t.Errorf("the listener gets %v, %v", r, err)
		}
		_ = conn.Close()
		programs.Close()
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		node.Close(t.Context(), "the test ends")
	})
}
