package client

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// Profile writes what the daemon spends its time or memory on to w. Kinds that take time take
// it for so long; text is for people, and not of every kind. See AdminService.Profile.
func (b *Bus) Profile(ctx context.Context, kind pb.ProfileKind, takes time.Duration, text bool, w io.Writer) error {
	stream, err := b.admin.Profile(ctx, &pb.ProfileRequest{Kind: kind, Duration: durationpb.New(takes), Text: text})
	if err != nil {
		return statusError("profile", "", err)
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return statusError("profile", "", err)
		}
		if _, err := w.Write(r.GetData()); err != nil {
			return err
		}
	}
}
