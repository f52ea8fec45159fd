package peer_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	clientpeer "github.com/kbus-limpet/limpet/client/peer"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/counted"
	"github.com/kbus-limpet/limpet/internal/leaks"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/wire"
	"github.com/kbus-limpet/limpet/server/peer"
)

func newNode(t *testing.T, id uint32) *limpet.Node {
	t.Helper()
	n, err := limpet.NewNode(membus.New(), id, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var tcp = sockaddr.Address{Network: "tcp", Address: "127.0.0.1:0"}

func TestMain(m *testing.M) { leaks.Main(m) }

// serve accepts links for a node until the test ends, or until kill cuts all connections
// and listens no more.
func serve(t *testing.T, node *limpet.Node, at sockaddr.Address, cfg limpet.Config) (addr sockaddr.Address, kill func()) {
	t.Helper()
	inner, err := net.Listen(at.Network, at.Address)
	if err != nil {
		t.Fatal(err)
	}
	l := counted.Listen(inner)
	host := peer.NewHost(node, func(net.Addr) limpet.Config { return cfg })
	server := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec))
	host.Register(server)
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		node.Close(context.Background(), "the test ends")
		l.CloseAll()
		host.Stop()
		server.Stop()
		<-done
	})
	return sockaddr.Address{Network: at.Network, Address: l.Addr().String()}, l.CloseAll
}

// dialler keeps a link of a node up until it is stopped.
func dialler(node *limpet.Node, a sockaddr.Address, cfg limpet.Config) (stop func(cause error)) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&clientpeer.Dialler{Node: node, Name: "connect " + a.String(), Address: a, Limpet: cfg}).Run(ctx)
	}()
	return func(cause error) { cancel(cause); <-ended }
}

func dial(t *testing.T, a sockaddr.Address) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(a.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// A peer that opens a link and says nonsense is told so, and leaves nothing behind.
func TestHostilePeer(t *testing.T) {
	node := newNode(t, 1)
	a, _ := serve(t, node, tcp, limpet.Config{})
	s, err := pb.NewLinkServiceClient(dial(t, a)).Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&pb.LinkRequest{}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Recv()
	if err != nil || r.GetFrame().GetError().GetCode() != pb.ErrorCode_ERROR_CODE_PROTOCOL {
		t.Errorf("told %v, %v", r, err)
	}
	_, err = s.Recv()
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "first frame must be a greeting") {
		t.Errorf("the call ends with %v", err)
	}
	if all := node.Peerings(); len(all) != 0 {
		t.Errorf("a stranger has left the peering %v", all)
	}
}

// A daemon that stops tells its peer no more than that.
func TestStopTellsPeerNoCause(t *testing.T) {
	node := newNode(t, 1)
	a, _ := serve(t, node, tcp, limpet.Config{})
	other := newNode(t, 2)
	stop := dialler(other, a, limpet.Config{})
	p := waitState(t, node, limpet.Up)
	waitState(t, other, limpet.Up)
	stop(errors.New("a secret cause"))
	other.Close(t.Context(), "the test ends")
	waitState(t, node, limpet.Connecting)
	if why := p.Status().LastErr; why == nil || !strings.Contains(why.Error(), "the daemon is stopping") || strings.Contains(why.Error(), "secret") {
		t.Errorf("the peer is told %v", why)
	}
}

// A peer that was killed and started again is linked again at once: what the dialling
// side expected of the session before is of no meaning in the new one.
func TestPeerIsRestarted(t *testing.T) {
	all := limpet.Config{AllInterest: true}
	first, second, other := newNode(t, 1), newNode(t, 1), newNode(t, 2)
	at := sockaddr.Address{Network: "unix", Address: filepath.Join(t.TempDir(), "s")} // a port could be another's by then
	a, kill := serve(t, first, at, all)
	stop := dialler(other, a, all)
	defer func() { stop(nil); other.Close(t.Context(), "the test ends") }()
	waitState(t, first, limpet.Up)
	p := waitState(t, other, limpet.Up)
	k, err := first.Bus().Open(kbusdev.WriteOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := k.Send(t.Context(), &kbusdev.Message{Name: "$.A"}); err != nil {
		t.Fatal(err)
	}
	for p.Status().Counts.FromPeerEnded["delivered"] == 0 {
		runtime.Gosched()
	}
	kill()
	serve(t, second, at, all)
	waitState(t, second, limpet.Up)
	waitState(t, other, limpet.Up)
	if n := p.Status().Epochs; n != 2 {
		t.Errorf("it took %d epochs, want 2: %v", n, p.Status().LastErr)
	}
}

// waitState waits until the one peering of a node is in a state.
func waitState(t *testing.T, node *limpet.Node, want limpet.State) *limpet.Peering {
	t.Helper()
	for {
		changed := node.Changed()
		if all := node.Peerings(); len(all) == 1 && all[0].State() == want {
			return all[0]
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("no peering gets into the state %v", want)
		}
	}
}
