package web

import (
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// looks are the methods that only look, at what is no message's data.
var looks = map[string]bool{
	healthpb.Health_Check_FullMethodName: true,
	healthpb.Health_List_FullMethodName:  true,
	healthpb.Health_Watch_FullMethodName: true,

	pb.BusService_FindReplier_FullMethodName:   true,
	pb.BusService_ListBindings_FullMethodName:  true,
	pb.BusService_WatchBindings_FullMethodName: true,
	pb.BusService_WatchRepliers_FullMethodName: true,

	pb.AdminService_GetStatus_FullMethodName:    true,
	pb.AdminService_WatchLinks_FullMethodName:   true,
	pb.AdminService_FindInterest_FullMethodName: true,
	pb.AdminService_ExplainRules_FullMethodName: true,
}
