package admin

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// Reload reads the configuration again.
func (s *Service) Reload(ctx context.Context, q *pb.ReloadRequest) (*pb.ReloadResponse, error) {
	if s.Reloads == nil {
		return nil, status.Error(codes.FailedPrecondition, "this daemon has no configuration to read again")
	}
	changes, err := s.Reloads(ctx, q.GetDryRun())
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &pb.ReloadResponse{Changes: changes}, nil
}
