package client

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// Status returns what the daemon is doing, with all its links.
func (b *Bus) Status(ctx context.Context) (*pb.GetStatusResponse, error) {
	return b.status(ctx, &pb.GetStatusRequest{})
}

// Configuration returns every setting of the daemon, as its configuration file would have
// it (YAML), with a comment that says where each comes from. It is "" if the daemon does not
// tell.
func (b *Bus) Configuration(ctx context.Context) (string, error) {
	r, err := b.admin.GetStatus(ctx, &pb.GetStatusRequest{Configuration: true, PageSize: 1})
	if err != nil {
		return "", statusError("configuration", "", err)
	}
	return r.GetConfiguration(), nil
}

// LinkStatus returns what one link is doing, or all if name is "", with up to drops of
// the latest messages that it lost.
func (b *Bus) LinkStatus(ctx context.Context, name string, drops uint32) ([]*pb.LinkStatus, error) {
	r, err := b.status(ctx, &pb.GetStatusRequest{Link: name, MaxDrops: drops})
	return r.GetLinks(), err
}

// status puts the pages of an answer together.
func (b *Bus) status(ctx context.Context, q *pb.GetStatusRequest) (*pb.GetStatusResponse, error) {
	var all *pb.GetStatusResponse
	for {
		r, err := b.admin.GetStatus(ctx, q)
		if err != nil {
			return nil, statusError("status", q.GetLink(), err)
		}
		if all == nil {
			all = r
		} else {
			all.Links = append(all.Links, r.GetLinks()...)
		}
		if q.PageToken = r.GetNextPageToken(); q.GetPageToken() == "" {
			all.NextPageToken = ""
			return all, nil
		}
	}
}

// FindInterest returns the names of the links over which an announcement called name
// would go now: those behind which somebody is known to listen to it.
func (b *Bus) FindInterest(ctx context.Context, name string) ([]string, error) {
	r, err := b.admin.FindInterest(ctx, &pb.FindInterestRequest{Name: name})
	if err != nil {
		return nil, statusError("interest", name, err)
	}
	return r.GetLinks(), nil
}

// WaitInterest blocks until an announcement called name would go over n links, or ctx
// ends: a listener far away is known here a moment after it has bound.
func (b *Bus) WaitInterest(ctx context.Context, name string, n int) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		links, err := b.FindInterest(ctx, name)
		if err != nil || len(links) >= n {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is wanted over %d of %d links: %w", name, len(links), n, ctx.Err())
		}
	}
}

// ExplainRules returns what the daemon's rules make of somebody, such as "uid:1000", and a
// name, perhaps a wildcard. It is ExplainLinkRules without a link.
func (b *Bus) ExplainRules(ctx context.Context, identity, name string) (*pb.ExplainRulesResponse, error) {
	return b.ExplainLinkRules(ctx, "", identity, name)
}

// ExplainLinkRules returns what the rules make of somebody who comes by a link, which may have
// rules of its own: the name of one that is dialled, or "listen ADDRESS".
func (b *Bus) ExplainLinkRules(ctx context.Context, link, identity, name string) (*pb.ExplainRulesResponse, error) {
	r, err := b.admin.ExplainRules(ctx, &pb.ExplainRulesRequest{Link: link, Identity: identity, Name: name})
	if err != nil {
		return nil, statusError("explain", name, err)
	}
	return r, nil
}

// DrainLink ends a link in good order, and returns when it has ended: what is open may
// finish within timeout, or the daemon's own drain timeout if that is 0 or less. It
// returns how many requests were answered by the limpet because they did not.
func (b *Bus) DrainLink(ctx context.Context, name string, timeout time.Duration) (unfinished uint64, err error) {
	r, err := b.admin.DrainLink(ctx, &pb.DrainLinkRequest{Name: name, Timeout: durationpb.New(timeout)})
	if err != nil {
		return 0, statusError("drain", name, err)
	}
	return r.GetUnfinished(), nil
}

// Reload has the daemon read its configuration again, and returns what that changes: all
// of it or, with an error, nothing. With dry nothing is changed. It takes as long as the
// links take to drain that are changed or no longer configured, some seconds at most.
func (b *Bus) Reload(ctx context.Context, dry bool) ([]*pb.ConfigChange, error) {
	r, err := b.admin.Reload(ctx, &pb.ReloadRequest{DryRun: dry})
	if err != nil {
		return nil, statusError("reload", "", err)
	}
	return r.GetChanges(), nil
}

// WaitReady waits until the daemon answers, or ctx ends.
func (b *Bus) WaitReady(ctx context.Context) error {
	_, err := b.admin.GetStatus(ctx, &pb.GetStatusRequest{}, grpc.WaitForReady(true))
	if err != nil && status.Code(err) != codes.PermissionDenied { // it answers, if not that
		return statusError("waiting for the daemon", "", err)
	}
	return nil
}

// LinksUp returns how many links are up.
func (b *Bus) LinksUp(ctx context.Context) (up int, err error) {
	st, err := b.Status(ctx)
	if err != nil {
		return 0, err
	}
	for _, l := range st.GetLinks() {
		if l.GetState() == pb.LinkState_LINK_STATE_UP {
			up++
		}
	}
	return up, nil
}

// WaitLinked waits until n links are up, or ctx ends.
func (b *Bus) WaitLinked(ctx context.Context, n int) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		up, err := b.LinksUp(ctx)
		if err != nil || up >= n {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d links are up: %w", up, n, ctx.Err())
		}
	}
}
