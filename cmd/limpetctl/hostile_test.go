package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// evil is what a terminal would obey, what changes the direction of writing, and what makes
// one line look like two.
const evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202elive\nnetwork 9: up\u2066"

// A hostileDaemon says evil wherever it can.
type hostileDaemon struct {
	pb.UnimplementedBusServiceServer
	pb.UnimplementedAdminServiceServer
}

func evilLink() *pb.LinkStatus {
	return &pb.LinkStatus{
		Name: evil, LastError: evil, PeerInstanceId: evil, PeerVersion: evil, SessionId: evil, PeerNetworkId: 7, NetworksBehind: []uint32{8},
		Counts: &pb.LinkCounts{FromBusEnded: map[string]uint64{evil: 1}, Lost: map[string]uint64{evil: 1}},
		Drops:  []*pb.Drop{{Reason: evil, Message: &pb.Message{Name: evil}}},
	}
}

func (hostileDaemon) GetStatus(context.Context, *pb.GetStatusRequest) (*pb.GetStatusResponse, error) {
	return &pb.GetStatusResponse{Version: evil, Bus: evil, InstanceId: evil, BoundsReached: []*pb.BoundReached{{Who: evil, Bound: evil}}, Links: []*pb.LinkStatus{evilLink()}}, nil
}

func (hostileDaemon) WatchLinks(_ *pb.WatchLinksRequest, s grpc.ServerStreamingServer[pb.WatchLinksResponse]) error {
	return s.Send(&pb.WatchLinksResponse{Removed: []string{evil}, Links: []*pb.LinkStatus{evilLink()}, Whole: true})
}

func (hostileDaemon) Tap(_ *pb.TapRequest, s grpc.ServerStreamingServer[pb.TapResponse]) error {
	m := &pb.Message{Name: evil, BindEvent: &pb.BindEvent{Name: evil}}
	return s.Send(&pb.TapResponse{Records: []*pb.TapRecord{
		{Link: evil, Reason: evil, Direction: 77, Verdict: 77, Kind: 77, Read: m, Given: m},
		{Link: evil, Reason: evil, Given: &pb.Message{Name: evil}, Size: uint32(len(evil)), Data: []byte(evil)},
	}, Lost: &pb.TapLost{NoRoom: 1}})
}

func (hostileDaemon) WatchEvents(_ *pb.WatchEventsRequest, s grpc.ServerStreamingServer[pb.WatchEventsResponse]) error {
	return s.Send(&pb.WatchEventsResponse{Events: []*pb.Event{{Event: evil, Attributes: []*pb.EventAttribute{{Key: evil, Value: evil}}}}})
}

func (hostileDaemon) ListPrograms(context.Context, *pb.ListProgramsRequest) (*pb.ListProgramsResponse, error) {
	return &pb.ListProgramsResponse{
		Peers: []*pb.PeerRights{{Link: evil, Rights: []*pb.Right{{Action: evil}}}},
		Programs: []*pb.Program{{
			Identity: evil, Source: evil, Call: evil, Ksock: 1, NamesBound: 1, Names: []*pb.ProgramName{{Name: evil}}, Rights: []*pb.Right{{Action: evil, Allowed: true}},
		}},
	}, nil
}

func (hostileDaemon) ListNetworks(context.Context, *pb.ListNetworksRequest) (*pb.ListNetworksResponse, error) {
	return &pb.ListNetworksResponse{Networks: []*pb.ReachableNetwork{{NetworkId: 2, Link: evil, Version: evil}}}, nil
}

func (hostileDaemon) DrainLink(context.Context, *pb.DrainLinkRequest) (*pb.DrainLinkResponse, error) {
	return &pb.DrainLinkResponse{}, nil
}

func (hostileDaemon) ListBindings(context.Context, *pb.ListBindingsRequest) (*pb.ListBindingsResponse, error) {
	return &pb.ListBindingsResponse{Bindings: []*pb.Binding{{Ksock: 1, Name: evil}}}, nil
}

func (hostileDaemon) WatchBindings(_ *pb.WatchBindingsRequest, s grpc.ServerStreamingServer[pb.WatchBindingsResponse]) error {
	return s.Send(&pb.WatchBindingsResponse{Bound: []*pb.Binding{{Name: evil}}, Whole: true})
}

func (hostileDaemon) WatchRepliers(_ *pb.WatchRepliersRequest, s grpc.ServerStreamingServer[pb.WatchRepliersResponse]) error {
	return s.Send(&pb.WatchRepliersResponse{Here: []*pb.Replier{{Name: evil, Link: evil}}, Whole: true})
}

func (hostileDaemon) Call(context.Context, *pb.CallRequest) (*pb.CallResponse, error) {
	return &pb.CallResponse{Reply: &pb.Message{Name: evil, Data: []byte(evil), InReplyToSerial: 1, IdSerial: 2}, Outcome: pb.Outcome_OUTCOME_ANSWERED}, nil
}

func (hostileDaemon) Send(context.Context, *pb.SendRequest) (*pb.SendResponse, error) {
	return nil, status.Error(codes.FailedPrecondition, evil)
}

func (hostileDaemon) Listen(_ *pb.ListenRequest, s grpc.ServerStreamingServer[pb.ListenResponse]) error {
	if err := s.Send(&pb.ListenResponse{Ksock: 1}); err != nil {
		return err
	}
	return s.Send(&pb.ListenResponse{Message: &pb.Message{Name: evil, Data: []byte(evil)}})
}

// Whatever a daemon, a peer or a program says, limpetctl prints nothing that a terminal
// obeys, and no line more than it would for other words; but for raw data, as asked for.
func TestHostileWords(t *testing.T) {
	api := filepath.Join(t.TempDir(), "api")
	l, err := net.Listen("unix", api)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterBusServiceServer(server, hostileDaemon{})
	pb.RegisterAdminServiceServer(server, hostileDaemon{})
	go server.Serve(l)
	t.Cleanup(server.Stop)
	for _, c := range []struct {
		args  string
		lines int
	}{
		{"status", 9}, {"links", 1}, {"drops", 3}, {"top --once --every 100ms", 14}, {"tap --count 2", 3}, {"drain", 1}, {"bindings", 1}, {"watch --once links", 3}, {"watch --once bindings", 2},
		{"watch --once repliers $.A", 2}, {"call $.A", 1}, {"send $.A", 0}, {"listen --count 1 $.*", 1},
		{"events", 1}, {"who --may $.A", 2}, {"version --all", 4},
	} {
		for _, args := range []string{"--format text " + c.args, "--json " + c.args} {
			t.Run(args, func(t *testing.T) {
				cmd := newCommand()
				var out, errOut bytes.Buffer
				cmd.SetOut(&out)
				cmd.SetErr(&errOut)
				cmd.SetArgs(append([]string{"--api", api}, strings.Fields(args)...))
				ran, err := cmd.ExecuteContextC(t.Context())
				if err != nil {
					complain(&errOut, err, ran == cmd)
				}
				got := out.String() + errOut.String()
				if !strings.Contains(got, "owned") {
					t.Fatalf("nothing hostile was said, so this proves nothing: %q", got)
				}
				for line := range strings.Lines(got) {
					line = strings.TrimSuffix(line, "\n")
					if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
						t.Errorf("printed %q", line)
					}
					if strings.HasPrefix(line, "network 9") {
						t.Error("what was said has made a line of its own")
					}
				}
				if strings.HasPrefix(args, "--json") {
					for line := range strings.Lines(out.String()) {
						if !json.Valid([]byte(line)) {
							t.Errorf("no JSON: %q", line)
						}
					}
				} else if n := strings.Count(out.String(), "\n"); n != c.lines {
					t.Errorf("%d lines, want %d: %s", n, c.lines, out.String())
				}
			})
		}
	}
}
