package daemon_test

import (
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// A peer is told that the daemon lives, but no names of services, unless it may reflect.
func TestWhatPeersMayAsk(t *testing.T) {
	for _, c := range []struct {
		reflection string
		peers, api bool
	}{{"", false, true}, {"api", false, true}, {"peers", true, true}, {"none", false, false}} {
		t.Run("reflection "+c.reflection, func(t *testing.T) {
			at := unix(filepath.Join(t.TempDir(), "link"))
			r := start(t, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{{Address: at, Listen: true}}, Reflection: c.reflection})
			peers, api := conn(t, at), conn(t, unix(r.api))
			reflects := func(conn *grpc.ClientConn) bool {
				s, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
				if err == nil {
					_ = s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
					_, err = s.Recv()
				}
				if err != nil && status.Code(err) != codes.Unimplemented {
					t.Error(err)
				}
				return err == nil
			}
			if reflects(peers) != c.peers || reflects(api) != c.api {
				t.Errorf("peers reflect: %v, programs: %v", reflects(peers), reflects(api))
			}
			all, err := healthpb.NewHealthClient(peers).List(t.Context(), &healthpb.HealthListRequest{})
			if err != nil || len(all.GetStatuses()) != 1 || all.GetStatuses()[""].GetStatus() != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("a peer is shown %v, %v", all, err)
			}
			for _, name := range []string{"kbus.limpet.v1.LinkService", "link/network 2"} {
				if _, err := healthpb.NewHealthClient(peers).Check(t.Context(), &healthpb.HealthCheckRequest{Service: name}); status.Code(err) != codes.NotFound {
					t.Errorf("a peer asks for %s: %v", name, err)
				}
			}
		})
	}
	cfg := daemon.Config{NetworkID: 1, API: &sockaddr.Address{}, Reflection: "all"}
	if err := cfg.Validate(); err == nil {
		t.Error("a reflection that is none is taken")
	}
}

func conn(t *testing.T, a sockaddr.Address) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("unix://"+a.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
