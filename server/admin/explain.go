package admin

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// ExplainRules tells what the rules make of somebody and a name.
func (s *Service) ExplainRules(_ context.Context, q *pb.ExplainRulesRequest) (*pb.ExplainRulesResponse, error) {
	id, network, err := rules.ParseIdentity(q.GetIdentity())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := checkRuleName(q.GetName()); err != nil {
		return nil, err
	}
	var none *rules.Set
	all, n := none.Explain(id, network, q.GetName()), 0
	if s.Explains != nil {
		if all, n, err = s.Explains(q.GetLink(), id, network, q.GetName()); err != nil {
			return nil, status.Error(codes.NotFound, err.Error())
		}
	}
	r := &pb.ExplainRulesResponse{Rules: uint32(n)}
	for _, e := range all {
		r.Verdicts = append(r.Verdicts, &pb.RuleVerdict{
			Action: e.Action.String(), Object: e.Object, Allowed: e.Verdict.Allow, Rule: uint32(e.Verdict.Rule), OfLink: e.Verdict.OfLink, Text: e.Text,
		})
	}
	return r, nil
}
