package admin

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet"
)

// ListNetworks tells which networks can be reached, and the versions there.
func (s *Service) ListNetworks(_ context.Context, q *pb.ListNetworksRequest) (*pb.ListNetworksResponse, error) {
	after := uint64(0)
	if token := q.GetPageToken(); token != "" {
		var err error
		if after, err = strconv.ParseUint(token, 36, 32); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "page_token %.40q is none that an answer has given; leave it empty for the first page", token)
		}
	}
	r := new(pb.ListNetworksResponse)
	size := 0
	for _, n := range reachable(s.Node) {
		if uint64(n.GetNetworkId()) <= after {
			continue
		}
		told := len(r.GetNetworks())
		if told > 0 && (size >= maxAnswer || q.GetPageSize() > 0 && told >= int(q.GetPageSize())) {
			r.NextPageToken = strconv.FormatUint(uint64(r.Networks[told-1].GetNetworkId()), 36)
			break
		}
		size += proto.Size(n)
		r.Networks = append(r.Networks, n)
	}
	return r, nil
}

// reachable returns the networks that a node can reach, in the order of their ids.
func reachable(node *limpet.Node) (all []*pb.ReachableNetwork) {
	for _, p := range node.Peerings() {
		st := p.Status()
		if st.Peer == nil || st.Ksock == 0 { // there is no epoch
			continue
		}
		all = append(all, &pb.ReachableNetwork{NetworkId: st.Peer.NetworkID, Link: st.Name, InstanceId: st.Peer.Instance.String(), Version: st.Peer.Software})
		for _, n := range st.Behind {
			all = append(all, &pb.ReachableNetwork{NetworkId: n.ID, Link: st.Name, Behind: true, InstanceId: n.Instance.String(), Version: n.Software})
		}
	}
	slices.SortFunc(all, func(a, b *pb.ReachableNetwork) int { return cmp.Compare(a.GetNetworkId(), b.GetNetworkId()) })
	return all
}
