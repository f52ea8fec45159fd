package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

func (steadyDaemon) WatchDrops(_ *pb.WatchDropsRequest, s grpc.ServerStreamingServer[pb.WatchDropsResponse]) error {
	m := &pb.Message{Name: "$.Weather.Rain", IdNetwork: 7, IdSerial: 4, From: 2, To: 3, Flags: 1}
	err := s.Send(&pb.WatchDropsResponse{
		Drops: []*pb.DroppedMessage{
			{Source: pb.DropSource_DROP_SOURCE_LINK, Link: "connect hosta:7000", Time: timestamppb.New(noon), FromPeer: true, Reason: "expired", DataSize: 5, Message: m},
			{Source: pb.DropSource_DROP_SOURCE_BUS, Time: timestamppb.New(noon), Reason: "queue_messages", Message: m, MissedBy: 8, MissedByLink: "network 7"},
			{Source: pb.DropSource_DROP_SOURCE_RULES, Time: timestamppb.New(noon), Reason: "denied", Message: m, Identity: "uid 7 (pid 70)"},
		},
		Untold: []*pb.DropCount{{Source: pb.DropSource_DROP_SOURCE_LINK, Link: "connect hosta:7000", Reason: "stalled", Count: huge}},
		Whole:  true,
	})
	if err != nil {
		return err
	}
	<-s.Context().Done()
	return nil
}

func (steadyDaemon) ListOpenRequests(context.Context, *pb.ListOpenRequestsRequest) (*pb.ListOpenRequestsResponse, error) {
	return &pb.ListOpenRequestsResponse{Open: huge, Requests: []*pb.OpenRequest{{
		IdNetwork: 7, IdSerial: 4, Name: "$.Ask", Asker: 2, AskerLink: "network 7", Replier: 3, Age: durationpb.New(90 * time.Second), Since: timestamppb.New(noon), State: pb.OpenRequestState_OPEN_REQUEST_STATE_READ,
	}}}, nil
}

func (steadyDaemon) ListSlowRepliers(context.Context, *pb.ListSlowRepliersRequest) (*pb.ListSlowRepliersResponse, error) {
	return &pb.ListSlowRepliersResponse{Since: timestamppb.New(noon), Repliers: []*pb.SlowReplier{{
		Name: "$.Ask", Link: "connect hosta:7000", Ksock: 3, Count: 4, Sum: durationpb.New(2 * time.Second), P50: durationpb.New(250 * time.Millisecond), P99: durationpb.New(time.Second), Max: durationpb.New(time.Second), Missing: durationpb.New(time.Second),
	}}}, nil
}

func (hostileDaemon) WatchDrops(_ *pb.WatchDropsRequest, s grpc.ServerStreamingServer[pb.WatchDropsResponse]) error {
	err := s.Send(&pb.WatchDropsResponse{
		Drops: []*pb.DroppedMessage{
			{Source: pb.DropSource_DROP_SOURCE_LINK, Link: evil, Reason: evil, Message: &pb.Message{Name: evil}, MissedByLink: evil},
			{Source: pb.DropSource_DROP_SOURCE_RULES, Reason: evil, Message: &pb.Message{Name: evil}, Identity: evil},
		},
		Untold: []*pb.DropCount{{Source: pb.DropSource_DROP_SOURCE_LINK, Link: evil, Reason: evil, Count: 1}},
		Whole:  true,
	})
	<-s.Context().Done()
	return err
}

func (hostileDaemon) ListOpenRequests(context.Context, *pb.ListOpenRequestsRequest) (*pb.ListOpenRequestsResponse, error) {
	return &pb.ListOpenRequestsResponse{Open: 1, Requests: []*pb.OpenRequest{{Name: evil, AskerLink: evil, ReplierLink: evil}}}, nil
}

func (hostileDaemon) ListSlowRepliers(context.Context, *pb.ListSlowRepliersRequest) (*pb.ListSlowRepliersResponse, error) {
	return &pb.ListSlowRepliersResponse{Repliers: []*pb.SlowReplier{{Name: evil, Link: evil}}}, nil
}
