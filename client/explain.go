package client

import (
	"context"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// Explain returns what would become of a message, over all links, without sending it. It is
// for administrators. A daemon that does not answer in time is named in the answer.
func (b *Bus) Explain(ctx context.Context, q *pb.ExplainRequest) (*pb.ExplainResponse, error) {
	r, err := b.admin.Explain(ctx, q)
	if err != nil {
		return nil, statusError("explain", q.GetName(), err)
	}
	return r, nil
}
