package main

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// serve serves a daemon's API at a socket until the test ends.
func serve(t *testing.T, bus pb.BusServiceServer, admin pb.AdminServiceServer) (api string) {
	t.Helper()
	api = filepath.Join(t.TempDir(), "api")
	serveAt(t, api, bus, admin)
	return api
}

// serveAt is serve, at a socket.
func serveAt(t *testing.T, api string, bus pb.BusServiceServer, admin pb.AdminServiceServer) {
	t.Helper()
	l, err := net.Listen("unix", api)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterBusServiceServer(server, bus)
	pb.RegisterAdminServiceServer(server, admin)
	go server.Serve(l)
	t.Cleanup(server.Stop)
}

// A steadyDaemon always says the same.
type steadyDaemon struct {
	pb.UnimplementedBusServiceServer
	pb.UnimplementedAdminServiceServer
}

var noon = time.Date(2026, 11, 26, 12, 0, 0, 250e6, time.UTC)

// huge is a number that is not exact as a double, as many readers of JSON have it.
const huge = 1<<53 + 1

func steadyLink() *pb.LinkStatus {
	return &pb.LinkStatus{
		Name: "connect hosta:7000", State: pb.LinkState_LINK_STATE_DETACHED, PeerNetworkId: 7, PeerInstanceId: "0a", LastError: "EOF", Since: timestamppb.New(noon),
		Ksock: 3, NetworksBehind: []uint32{8, 9}, SessionId: "0b", Epochs: 2, Resumed: 1, Transport: "tls", Identity: "hosta", Dialled: true, PeerVersion: "v1.2.2",
		Counts: &pb.LinkCounts{Requests: huge, FromBusEnded: map[string]uint64{"delivered": 5, "expired": 1}, Lost: map[string]uint64{"expired": 1}, QueueBound: 65536},
		Drops: []*pb.Drop{{
			Time: timestamppb.New(noon), FromPeer: true, Reason: "expired", DataSize: 5,
			Message: &pb.Message{Name: "$.Weather.Rain", IdNetwork: 7, IdSerial: 4, From: 2, To: 3, Flags: 1},
		}},
	}
}

func (steadyDaemon) GetStatus(_ context.Context, q *pb.GetStatusRequest) (*pb.GetStatusResponse, error) {
	r := &pb.GetStatusResponse{
		Version: "v1.2.3", Bus: "embedded", NetworkId: 1, InstanceId: "0c", StartTime: timestamppb.New(noon), Bindings: 4, ApiMissed: huge, ApiDenied: 2,
		Insecure: []string{"--listen 0.0.0.0:7000"}, BoundsReached: []*pb.BoundReached{{Who: "peers", Bound: "connections", Count: 3}},
		Links: []*pb.LinkStatus{steadyLink()},
	}
	if q.GetConfiguration() {
		r.Configuration = "network-id: 1  # --network-id\n"
	}
	return r, nil
}

func (steadyDaemon) WatchLinks(_ *pb.WatchLinksRequest, s grpc.ServerStreamingServer[pb.WatchLinksResponse]) error {
	return s.Send(&pb.WatchLinksResponse{Removed: []string{"network 9"}, Links: []*pb.LinkStatus{steadyLink()}, Whole: true})
}

func (steadyDaemon) Tap(_ *pb.TapRequest, s grpc.ServerStreamingServer[pb.TapResponse]) error {
	here := &pb.Message{Name: "$.Ask", IdSerial: 12, From: 2, To: 5, Flags: 1, FinalToNetwork: 7, FinalToLocal: 3}
	there := &pb.Message{Name: "$.Far.Ask", IdNetwork: 1, IdSerial: 12, From: 2, To: 5, Flags: 1, OrigFromNetwork: 1, OrigFromLocal: 2, FinalToNetwork: 7, FinalToLocal: 3}
	event := &pb.Message{Name: "$.KBUS.ReplierBindEvent", BindEvent: &pb.BindEvent{IsBind: true, Binder: 5, Name: "$.Ask"}}
	record := func(r *pb.TapRecord) *pb.TapRecord {
		r.Time, r.Link = timestamppb.New(noon), "connect hosta:7000"
		return r
	}
	for _, r := range []*pb.TapResponse{
		{Start: &pb.TapStart{Format: 1, Version: "v1.2.3", NetworkId: 1, Bus: "embedded", MaxRate: 10000, MaxData: 5, Time: timestamppb.New(noon)}},
		{Records: []*pb.TapRecord{
			record(&pb.TapRecord{Direction: pb.TapDirection_TAP_DIRECTION_TO_PEER, Verdict: pb.TapVerdict_TAP_VERDICT_FORWARDED, Kind: pb.TapKind_TAP_KIND_REQUEST, Read: here, Given: there, Size: 12, Data: []byte("hello")}),
			record(&pb.TapRecord{Direction: pb.TapDirection_TAP_DIRECTION_TO_PEER, Verdict: pb.TapVerdict_TAP_VERDICT_DROPPED, Reason: "link_lost", Loss: true, Kind: pb.TapKind_TAP_KIND_REQUEST, Given: there, Size: 12, DataWithheld: true}),
			record(&pb.TapRecord{Direction: pb.TapDirection_TAP_DIRECTION_FROM_PEER, Verdict: pb.TapVerdict_TAP_VERDICT_DELIVERED, Own: true, Kind: pb.TapKind_TAP_KIND_REPLY, Given: &pb.Message{Name: "$.KBUS.RemoteError.NotDelivered", InReplyToSerial: 12, To: 2}}),
		}},
		{Records: []*pb.TapRecord{
			record(&pb.TapRecord{Direction: pb.TapDirection_TAP_DIRECTION_FROM_PEER, Verdict: pb.TapVerdict_TAP_VERDICT_DROPPED, Reason: "bind_event_used", Kind: pb.TapKind_TAP_KIND_BIND_EVENT, Read: event, Size: 20}),
		}, Lost: &pb.TapLost{OverRate: huge, NoRoom: 2}},
	} {
		if err := s.Send(r); err != nil {
			return err
		}
	}
	<-s.Context().Done()
	return nil
}

func (steadyDaemon) WatchBindings(_ *pb.WatchBindingsRequest, s grpc.ServerStreamingServer[pb.WatchBindingsResponse]) error {
	return s.Send(&pb.WatchBindingsResponse{Restart: true, Bound: steadyBindings(), Whole: true})
}

func (steadyDaemon) WatchRepliers(_ *pb.WatchRepliersRequest, s grpc.ServerStreamingServer[pb.WatchRepliersResponse]) error {
	return s.Send(&pb.WatchRepliersResponse{Here: []*pb.Replier{{Ksock: 3, Name: "$.Ask", Link: "network 7", NetworkId: 7}}, Whole: true})
}

func (steadyDaemon) DrainLink(context.Context, *pb.DrainLinkRequest) (*pb.DrainLinkResponse, error) {
	return &pb.DrainLinkResponse{Unfinished: 2}, nil
}

func (steadyDaemon) Reload(context.Context, *pb.ReloadRequest) (*pb.ReloadResponse, error) {
	return &pb.ReloadResponse{Changes: []*pb.ConfigChange{{What: "verbosity", Before: "0", After: "1"}}}, nil
}

func (steadyDaemon) ExplainRules(context.Context, *pb.ExplainRulesRequest) (*pb.ExplainRulesResponse, error) {
	return &pb.ExplainRulesResponse{Rules: 1, Verdicts: []*pb.RuleVerdict{{Action: "announce", Object: "$.A", Allowed: true, Rule: 1, Text: "allow all"}}}, nil
}

func (steadyDaemon) Explain(_ context.Context, q *pb.ExplainRequest) (*pb.ExplainResponse, error) {
	m := &pb.Message{Name: q.GetName(), Flags: 1}
	there := &pb.Message{Name: "$.Far" + q.GetName()[1:], Flags: 3, IdNetwork: 1, OrigFromNetwork: 1}
	rule := &pb.ExplainRule{Action: "request", Allowed: true, Rule: 2, OfLink: true, Text: "allow: [request]"}
	return &pb.ExplainResponse{
		Outcome: &pb.ExplainOutcome{By: &pb.ExplainAddress{Network: 7, Ksock: 4}},
		Hearers: []*pb.ExplainAddress{{Network: 1, Ksock: 6}},
		Hop: &pb.ExplainHop{
			Network: 1, Message: m, Rule: rule, Replier: &pb.ExplainRecipient{Ksock: 2, Binding: "$.*", Link: "network 7"},
			Listeners: []*pb.ExplainRecipient{{Ksock: 6, Binding: "$.Ask"}, {Ksock: 8, Binding: "$.%", Denied: &pb.ExplainRule{Action: "listen", Text: "no rule matches, so it is denied"}}},
			Branches: []*pb.ExplainBranch{
				{Link: "network 7", Network: 7, Request: true, Message: there, Took: durationpb.New(250 * time.Millisecond), Next: &pb.ExplainHop{
					Network: 7, Message: there, Replier: &pb.ExplainRecipient{Ksock: 4, Binding: there.GetName()},
				}},
				{Link: "connect hosta:7000", Stop: &pb.ExplainStop{Reason: "unwanted"}},
				{Link: "network 9 (classic)", Network: 9, Message: m, End: pb.ExplainEnd_EXPLAIN_END_CLASSIC},
				{Link: "connect hostb:7000", End: pb.ExplainEnd_EXPLAIN_END_NOT_LINKED, Why: "connecting: no such host\x1b[2J"},
			},
		},
	}, nil
}

func steadyBindings() []*pb.Binding {
	return []*pb.Binding{{Ksock: 2, IsReplier: true, Name: "$.Ask"}, {Ksock: 1, Name: "$.Weather.*"}}
}

func (steadyDaemon) ListBindings(context.Context, *pb.ListBindingsRequest) (*pb.ListBindingsResponse, error) {
	return &pb.ListBindingsResponse{Bindings: steadyBindings()}, nil
}

func (steadyDaemon) Send(context.Context, *pb.SendRequest) (*pb.SendResponse, error) {
	return &pb.SendResponse{IdSerial: 12}, nil
}

func steadyMessage(data string) *pb.Message {
	return &pb.Message{Name: "$.Ask", IdSerial: 12, From: 2, OrigFromNetwork: 7, OrigFromLocal: 4, Data: []byte(data)}
}

func (steadyDaemon) Call(_ context.Context, q *pb.CallRequest) (*pb.CallResponse, error) {
	m := steadyMessage("hello")
	m.InReplyToSerial = 11
	if q.GetName() == "$.Gone" {
		m.Name, m.Data = "$.KBUS.Replier.GoneAway", nil
		return &pb.CallResponse{Reply: m, Outcome: pb.Outcome_OUTCOME_NEVER_RAN, Reason: "the replier has gone away"}, nil
	}
	return &pb.CallResponse{Reply: m, Outcome: pb.Outcome_OUTCOME_ANSWERED}, nil
}

func (steadyDaemon) Listen(_ *pb.ListenRequest, s grpc.ServerStreamingServer[pb.ListenResponse]) error {
	event := steadyMessage("")
	event.Name, event.BindEvent = "$.KBUS.ReplierBindEvent", &pb.BindEvent{IsBind: true, Binder: 5, Name: "$.Ask"}
	for _, r := range []*pb.ListenResponse{{Ksock: 1}, {Message: steadyMessage("two\nlines")}, {Message: steadyMessage("")}, {Message: steadyMessage("\xff\x00")}, {Message: event}} {
		if err := s.Send(r); err != nil {
			return err
		}
	}
	<-s.Context().Done()
	return nil
}

func (steadyDaemon) Serve(s grpc.BidiStreamingServer[pb.ServeRequest, pb.ServeResponse]) error {
	for {
		q, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if q.GetBind() != nil {
			m := steadyMessage("what?")
			m.Flags = uint32(kbusdev.WantReply | kbusdev.WantYouToReply)
			for _, r := range []*pb.ServeResponse{{Kind: &pb.ServeResponse_Bound{Bound: &pb.ServeBound{Ksock: 3}}}, {Kind: &pb.ServeResponse_Request{Request: m}}} {
				if err := s.Send(r); err != nil {
					return err
				}
			}
		}
	}
}
