package peer_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	clientpeer "github.com/kbus-limpet/limpet/client/peer"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/counted"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
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

// serve accepts links for a node until the test ends.
func serve(t *testing.T, node *limpet.Node) net.Addr {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := counted.Listen(tcp)
	host := peer.NewHost(node, limpet.Config{})
	server := grpc.NewServer()
	host.Register(server)
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		node.Close(context.Background(), "the test ends")
		l.CloseAll()
		host.Stop()
		server.Stop()
		<-done
		goleak.VerifyNone(t, leaks)
	})
	return l.Addr()
}

func dial(t *testing.T, a net.Addr) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(a.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// A peer that opens a link and says nonsense is told so, and leaves nothing behind.
func TestHostilePeer(t *testing.T) {
	node := newNode(t, 1)
	s, err := pb.NewLinkServiceClient(dial(t, serve(t, node))).Link(t.Context())
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
	a := serve(t, node)
	other := newNode(t, 2)
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&clientpeer.Dialler{Node: other, Address: sockaddr.Address{Network: "tcp", Address: a.String()}}).Run(ctx)
	}()
	p := waitState(t, node, limpet.Up)
	waitState(t, other, limpet.Up)
	cancel(errors.New("a secret cause"))
	<-ended
	other.Close(t.Context(), "the test ends")
	waitState(t, node, limpet.Connecting)
	if why := p.Status().LastErr; why == nil || !strings.Contains(why.Error(), "the daemon is stopping") || strings.Contains(why.Error(), "secret") {
		t.Errorf("the peer is told %v", why)
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
