package admin

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// How many open requests are in an answer.
const (
	defaultRequests = 100
	maxRequests     = 1000
)

// defaultSlow is how many slow repliers are in an answer.
const defaultSlow = 20

var progresses = map[limpet.Progress]pb.OpenRequestState{
	limpet.Unknown:      pb.OpenRequestState_OPEN_REQUEST_STATE_UNSPECIFIED,
	limpet.Queued:       pb.OpenRequestState_OPEN_REQUEST_STATE_QUEUED,
	limpet.Read:         pb.OpenRequestState_OPEN_REQUEST_STATE_READ,
	limpet.Taken:        pb.OpenRequestState_OPEN_REQUEST_STATE_TAKEN,
	limpet.Handed:       pb.OpenRequestState_OPEN_REQUEST_STATE_HANDED,
	limpet.Acknowledged: pb.OpenRequestState_OPEN_REQUEST_STATE_ACKNOWLEDGED,
}

// ListOpenRequests lists the open requests, oldest first.
func (s *Service) ListOpenRequests(_ context.Context, q *pb.ListOpenRequestsRequest) (*pb.ListOpenRequestsResponse, error) {
	which := limpet.WhichRequests{Link: q.GetLink(), Name: q.GetName(), Most: defaultRequests}
	if n := q.GetPageSize(); n > 0 {
		which.Most = int(min(n, maxRequests))
	}
	if name := q.GetName(); name != "" {
		if err := kbusdev.CheckBindName(name); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "name %.100q: %v", name, err)
		}
	}
	if err := q.GetMinAge().CheckValid(); q.GetMinAge() != nil && err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "min_age: %v", err)
	}
	if age := q.GetMinAge().AsDuration(); age > 0 {
		which.Before = time.Now().Add(-age)
	}
	if q.GetPageToken() != "" {
		after, err := parseRequestToken(q.GetPageToken())
		if err != nil {
			return nil, err
		}
		which.After = after
	}
	some, more, open := s.Node.OpenRequests(which)
	now := time.Now()
	r := &pb.ListOpenRequestsResponse{Open: uint64(open)}
	for i := range some {
		x := &some[i]
		age := max(now.Sub(x.Since), 0)
		r.Requests = append(r.Requests, &pb.OpenRequest{
			IdNetwork: x.ID.Network, IdSerial: x.ID.Serial, Name: label(x.Name), Asker: uint32(x.Asker), AskerLink: label(x.AskerLink),
			Replier: uint32(x.Replier), ReplierLink: label(x.ReplierLink), Since: timestamppb.New(now.Add(-age)), Age: durationpb.New(age), State: progresses[x.Progress],
		})
	}
	if more && len(some) > 0 {
		r.NextPageToken = requestToken(&some[len(some)-1])
	}
	return r, nil
}

// begun is a time to which the others of a page token are relative: clocks are set, and the
// order of requests must not change with them.
var begun = time.Now()

const requestTokenFormat = "%d.%d.%d.%d"

func requestToken(r *limpet.Request) string {
	return fmt.Sprintf(requestTokenFormat, r.Since.Sub(begun), r.ID.Network, r.ID.Serial, r.Asker)
}

func parseRequestToken(token string) (*limpet.Request, error) {
	r := new(limpet.Request)
	var since int64
	if _, err := fmt.Sscanf(token, requestTokenFormat, &since, &r.ID.Network, &r.ID.Serial, &r.Asker); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "page_token %.100q is not one of this daemon's", token)
	}
	r.Since = begun.Add(time.Duration(since))
	return r, nil
}

// ListSlowRepliers lists the names whose requests have taken most time.
func (s *Service) ListSlowRepliers(_ context.Context, q *pb.ListSlowRepliersRequest) (*pb.ListSlowRepliersResponse, error) {
	most := defaultSlow
	if n := q.GetMax(); n > 0 {
		most = int(min(n, limpet.SlowNames))
	}
	all, since := s.Node.SlowRepliers(most)
	r := &pb.ListSlowRepliersResponse{Since: timestamppb.New(since)}
	for i := range all {
		x := &all[i]
		count := uint64(0)
		for _, n := range x.Took.Counts {
			count += n
		}
		r.Repliers = append(r.Repliers, &pb.SlowReplier{
			Name: label(x.Name), Link: label(x.Link), Ksock: uint32(x.Ksock), Count: count, Sum: durationpb.New(x.Took.Sum),
			P50: durationpb.New(quantile(&x.Took, count, 50, x.Max)), P99: durationpb.New(quantile(&x.Took, count, 99, x.Max)),
			Max: durationpb.New(x.Max), Missing: durationpb.New(x.Missing),
		})
	}
	return r, nil
}

// quantile returns how long so many of 100 took at most, as far as the classes tell.
func quantile(d *translate.Durations, count, percent uint64, most time.Duration) time.Duration {
	rank := (count*percent + 99) / 100
	n := uint64(0)
	for i, bound := range translate.DurationBounds {
		if n += d.Counts[i]; n >= rank {
			return min(bound, most)
		}
	}
	return most
}
