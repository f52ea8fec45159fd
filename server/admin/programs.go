package admin

import (
	"context"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// ListPrograms tells which programs are connected, and what they and peers may do.
func (s *Service) ListPrograms(_ context.Context, q *pb.ListProgramsRequest) (*pb.ListProgramsResponse, error) {
	after := uint64(0)
	if token := q.GetPageToken(); token != "" {
		var err error
		if after, err = strconv.ParseUint(token, 36, 64); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "page_token %.40q is none that an answer has given; leave it empty for the first page", token)
		}
	}
	name := q.GetMay()
	var may func(rules.Identity) []*pb.Right
	if name != "" {
		if err := checkRuleName(name); err != nil {
			return nil, err
		}
		may = func(id rules.Identity) []*pb.Right { return s.rights("", id, 0, name) }
	}
	r := new(pb.ListProgramsResponse)
	if name != "" && after == 0 {
		r.Peers = s.peerRights(name)
	}
	if s.Programs == nil {
		return r, nil
	}
	page, next := s.Programs(after, int(min(q.GetPageSize(), 1<<20)), may)
	r.Programs = page
	if next != 0 {
		r.NextPageToken = strconv.FormatUint(next, 36)
	}
	return r, nil
}

// checkRuleName returns a status if nothing can be said of a name by the rules.
func checkRuleName(name string) error {
	if err := kbusdev.CheckBindName(name); err != nil {
		return status.Errorf(codes.InvalidArgument, "name %.100q: %v; it is \"$\" and words of letters and digits joined by dots, the last of which may be * or %%", name, err)
	}
	return nil
}

// peerRights returns what the peers of all links may do with a name.
func (s *Service) peerRights(name string) (all []*pb.PeerRights) {
	for _, p := range s.Node.Peerings() {
		st := p.Status()
		if st.Peer == nil {
			continue
		}
		all = append(all, &pb.PeerRights{Link: p.Name(), Rights: s.rights(p.Origin(), st.Identity, st.Peer.NetworkID, name)})
	}
	return all
}

// rights returns the verdicts on somebody, as ExplainRules has them.
func (s *Service) rights(link string, id rules.Identity, network uint32, name string) (all []*pb.Right) {
	var none *rules.Set
	verdicts := none.Verdicts
	if s.Verdicts != nil {
		verdicts = func(id rules.Identity, network uint32, name string) []rules.Explained {
			return s.Verdicts(link, id, network, name)
		}
	}
	for _, e := range verdicts(id, network, name) {
		all = append(all, &pb.Right{Action: e.Action.String(), Allowed: e.Verdict.Allow, Rule: uint32(e.Verdict.Rule), OfLink: e.Verdict.OfLink})
	}
	return all
}
