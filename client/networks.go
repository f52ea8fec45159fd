package client

import (
	"context"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// Networks returns the networks that the daemon can reach, in the order of their ids, with
// the versions of limpetd there. Its own is none of them.
func (b *Bus) Networks(ctx context.Context) (all []*pb.ReachableNetwork, err error) {
	q := new(pb.ListNetworksRequest)
	for {
		r, err := b.admin.ListNetworks(ctx, q)
		if err != nil {
			return nil, statusError("networks", "", err)
		}
		all = append(all, r.GetNetworks()...)
		if q.PageToken = r.GetNextPageToken(); q.GetPageToken() == "" {
			return all, nil
		}
	}
}
