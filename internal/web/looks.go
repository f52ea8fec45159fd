package web

import (
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// looks are the methods that only look, at what is no message's data, each with what reports
// whether a request of it does; nil is that all do.
var looks = map[string]func(proto.Message) bool{
	healthpb.Health_Check_FullMethodName: nil,
	healthpb.Health_List_FullMethodName:  nil,
	healthpb.Health_Watch_FullMethodName: nil,

	pb.BusService_FindReplier_FullMethodName:   nil,
	pb.BusService_ListBindings_FullMethodName:  nil,
	pb.BusService_WatchBindings_FullMethodName: nil,
	pb.BusService_WatchRepliers_FullMethodName: nil,

	pb.AdminService_GetStatus_FullMethodName:        nil,
	pb.AdminService_WatchLinks_FullMethodName:       nil,
	pb.AdminService_FindInterest_FullMethodName:     nil,
	pb.AdminService_ExplainRules_FullMethodName:     nil,
	pb.AdminService_Explain_FullMethodName:          nil,
	pb.AdminService_ListOpenRequests_FullMethodName: nil,
	pb.AdminService_ListSlowRepliers_FullMethodName: nil,
	pb.AdminService_WatchDrops_FullMethodName:       nil,
	pb.AdminService_ListPrograms_FullMethodName:     nil,
	pb.AdminService_ListNetworks_FullMethodName:     nil,
	pb.AdminService_WatchEvents_FullMethodName:      nil,
	pb.AdminService_Tap_FullMethodName: func(q proto.Message) bool {
		tap, ok := q.(*pb.TapRequest)
		return ok && tap.GetMaxData() == 0
	},
}

// onlyLooks reports whether a call of a method may be made by who may only look. q is its
// request, nil before that is known.
func onlyLooks(method string, q proto.Message) bool {
	of, known := looks[method]
	return known && (of == nil || q == nil || of(q))
}
