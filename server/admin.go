package server

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet"
)

// adminService is a look inside the daemon.
type adminService struct {
	pb.UnimplementedAdminServiceServer
	node    *limpet.Node
	version string
	started time.Time
}

var linkStates = map[limpet.State]pb.LinkState{
	limpet.Connecting: pb.LinkState_LINK_STATE_CONNECTING,
	limpet.Up:         pb.LinkState_LINK_STATE_UP,
	limpet.Draining:   pb.LinkState_LINK_STATE_DRAINING,
}

// GetStatus tells what the daemon is doing.
func (s *adminService) GetStatus(context.Context, *pb.GetStatusRequest) (*pb.GetStatusResponse, error) {
	bindings, err := s.node.Bus().Bindings()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) { // not every device can list them
		return nil, refused(err)
	}
	r := &pb.GetStatusResponse{
		Version:    s.version,
		Bus:        s.node.Bus().String(),
		NetworkId:  s.node.NetworkID(),
		InstanceId: s.node.Instance().String(),
		StartTime:  timestamppb.New(s.started),
		Bindings:   uint32(len(bindings)),
	}
	for _, l := range s.node.Links() {
		r.Links = append(r.Links, statusOf(l.Status()))
	}
	return r, nil
}

func statusOf(st limpet.LinkStatus) *pb.LinkStatus {
	out := &pb.LinkStatus{Name: st.Name, State: linkStates[st.State], Since: timestamppb.New(st.Since), Ksock: st.Ksock}
	if st.LastErr != nil {
		out.LastError = st.LastErr.Error()
	}
	if st.HasPeer {
		out.PeerNetworkId, out.PeerInstanceId = st.Peer.NetworkID, st.Peer.Instance.String()
	}
	if !st.IsServed {
		return out
	}
	for _, n := range st.Behind {
		out.NetworksBehind = append(out.NetworksBehind, n.ID)
	}
	c := &st.Counts
	out.Counts = &pb.LinkCounts{
		Requests: c.Requests, Replies: c.Replies, Synthetic: c.Synthetic, Open: c.Open, Asked: c.Asked,
		FromBus: c.FromBus, FromBusEnded: c.FromBusEnded, FromBusInFlight: c.FromBusInFlight,
		FromPeer: c.FromPeer, FromPeerEnded: c.FromPeerEnded, FromPeerInFlight: c.FromPeerInFlight,
		Proxies: c.Proxies, Wishes: c.Wishes, Repliers: c.Repliers, Queued: c.Queued, QueueFull: c.QueueFull,
		WindowFull: c.WindowFull, UnknownFrames: c.UnknownFrames, Busy: uint64(c.Busy), ToPeer: c.ToPeer,
	}
	return out
}
