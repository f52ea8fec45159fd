package daemon

import (
	"log/slog"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionalphapb "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/guard"
	"github.com/kbus-limpet/limpet/server/bus"
	"github.com/kbus-limpet/limpet/server/peer"
)

// Bounds are what peers and programs may take of a daemon. docs/bounds.md says of each what
// happens there.
type Bounds struct {
	// Peers are for what peers connect to, Programs for the local API.
	Peers, Programs guard.Limits
	// Web is for HTTP, whose calls are of the local API too.
	Web guard.Limits
	// Classic is for the connections of upstream's limpets, which make no calls.
	Classic guard.Limits
	// Links are for links of both protocols together.
	Links peer.Bounds
	// ProgramBytes bounds what the sessions of all attached programs hold, see
	// bus.WithProgramBytes.
	ProgramBytes int
}

// Methods, by what bounds them.
var (
	watches = []string{
		healthpb.Health_Watch_FullMethodName,
		pb.BusService_WatchBindings_FullMethodName,
		pb.BusService_WatchRepliers_FullMethodName,
		pb.AdminService_WatchLinks_FullMethodName,
		pb.AdminService_Tap_FullMethodName,
		pb.AdminService_WatchEvents_FullMethodName,
		pb.AdminService_WatchDrops_FullMethodName,
	}
	lists = []string{
		pb.BusService_ListBindings_FullMethodName,
		pb.AdminService_GetStatus_FullMethodName,
		pb.AdminService_FindInterest_FullMethodName,
		pb.AdminService_ListPrograms_FullMethodName,
		pb.AdminService_ListNetworks_FullMethodName,
		pb.AdminService_ListOpenRequests_FullMethodName,
		pb.AdminService_ListSlowRepliers_FullMethodName,
		pb.AdminService_Explain_FullMethodName, // up to 512 KiB
		healthpb.Health_List_FullMethodName,
	}
	reflections = []string{
		reflectionpb.ServerReflection_ServerReflectionInfo_FullMethodName,
		reflectionalphapb.ServerReflection_ServerReflectionInfo_FullMethodName,
	}
)

// defaultPeerNames is Config.PeerNames when that is 0.
const defaultPeerNames = 1 << 16

// answerTaken is how long a caller may leave an answer that the daemon holds for it.
const answerTaken = 30 * time.Second

// DefaultBounds returns the bounds of a daemon that is told no others.
func DefaultBounds() Bounds {
	return Bounds{
		Links:        peer.DefaultBounds,
		ProgramBytes: bus.DefaultProgramBytes,
		Peers: guard.Limits{
			Name:         "peers",
			Connections:  2048,
			OfSource:     1024,
			Quiet:        10 * time.Second,
			Connecting:   guard.Rate{PerSecond: 100, AtOnce: 512},
			GivenUp:      guard.Rate{PerSecond: 20, AtOnce: 200},
			Streams:      64,
			Untaken:      4 << 20,
			UntakenInAll: 64 << 20,
			Calls: []guard.Calls{
				{Bound: "links", Methods: []string{pb.LinkService_Link_FullMethodName}, InAll: 1280, OfConnection: 8, Opening: guard.Rate{PerSecond: 50, AtOnce: 512}, OwnWindow: true},
				{Bound: "watches", Methods: watches, InAll: 256, OfConnection: 4},
				{Bound: "reflections", Methods: reflections, InAll: 64, OfConnection: 4},
				{Bound: "calls", InAll: 512, OfConnection: 16, Opening: guard.Rate{PerSecond: 100, AtOnce: 512}, Taken: answerTaken},
			},
		},
		Programs: guard.Limits{
			Name:         "programs",
			Connections:  8192,
			OfSource:     4096,
			Quiet:        30 * time.Second,
			Connecting:   guard.Rate{PerSecond: 1000, AtOnce: 4096},
			GivenUp:      guard.Rate{PerSecond: 1000, AtOnce: 4096},
			Streams:      4096,
			Untaken:      64 << 20,
			UntakenInAll: 256 << 20,
			Calls: []guard.Calls{
				{Bound: "attached programs", Methods: []string{pb.BusService_Attach_FullMethodName}, InAll: 8192, OfConnection: 256, Opening: guard.Rate{PerSecond: 1000, AtOnce: 4096}, OwnWindow: true},
				{Bound: "listeners and repliers", Methods: []string{pb.BusService_Listen_FullMethodName, pb.BusService_Serve_FullMethodName}, InAll: 4096, OfConnection: 1024},
				{Bound: "watches", Methods: watches, InAll: 2048, OfConnection: 256},
				{Bound: "lists", Methods: lists, InAll: 256, OfConnection: 64, Taken: answerTaken},
				{Bound: "reflections", Methods: reflections, InAll: 256, OfConnection: 16},
				{Bound: "calls", InAll: 16384, Taken: answerTaken}, // of a connection Streams bounds them, for which a client waits
			},
		},
		Web: guard.Limits{
			Name:         "web",
			Connections:  256,
			OfSource:     128,
			Connecting:   guard.Rate{PerSecond: 100, AtOnce: 512},
			GivenUp:      guard.Rate{PerSecond: 100, AtOnce: 512},
			Streams:      1,
			Untaken:      4 << 20,
			UntakenInAll: 64 << 20,
			Calls: []guard.Calls{ // at most one a connection, as HTTP/1.1 has it
				{Bound: "watches", Methods: watches, InAll: 128},
				{Bound: "lists", Methods: lists, InAll: 64, Taken: answerTaken},
				{Bound: "calls", InAll: 192, Taken: answerTaken},
			},
		},
		Classic: guard.Limits{
			Name:        "classic peers",
			Connections: 2048,
			OfSource:    1024,
			Connecting:  guard.Rate{PerSecond: 100, AtOnce: 512},
		},
	}
}

// guards keep the bounds of the listeners.
type guards struct{ peers, programs, classic, web *guard.Guard }

func newGuards(b *Bounds, log *slog.Logger) *guards {
	return &guards{guard.New(b.Peers, log), guard.New(b.Programs, log), guard.New(b.Classic, log), guard.New(b.Web, log)}
}

// refusedBy returns what counts a handshake that is refused to somebody whom a guard has let in.
func refusedBy(g *guard.Guard) func() { return func() { g.Count("handshakes") } }
