package client

import (
	"context"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// Programs returns the programs that are connected to the daemon's API, in the order in which
// they came. Unless may is "" it is a name, perhaps a wildcard: then it is told what the rules
// let each of them do with it, and the peers of the links.
func (b *Bus) Programs(ctx context.Context, may string) (programs []*pb.Program, peers []*pb.PeerRights, err error) {
	q := &pb.ListProgramsRequest{May: may}
	for {
		r, err := b.admin.ListPrograms(ctx, q)
		if err != nil {
			return nil, nil, statusError("programs", may, err)
		}
		programs, peers = append(programs, r.GetPrograms()...), append(peers, r.GetPeers()...)
		if q.PageToken = r.GetNextPageToken(); q.GetPageToken() == "" {
			return programs, peers, nil
		}
	}
}
