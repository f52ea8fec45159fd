package bus

import (
	"context"
	"errors"
	"math"
	"strconv"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// Bounds of one answer of ListBindings.
const (
	maxPage      = 10_000
	maxPageBytes = 512 << 10 // of names; as much again is left for what goes with each
)

// A pager is a bus that lists its bindings page by page, see membus.Bus.PageBindings.
type pager interface {
	PageBindings(from uint64, most, maxBytes int) (page []kbusdev.Binding, next uint64)
}

// ListBindings lists what is bound, as far as the caller may know of it: a page may be
// empty, and others follow.
func (s *Service) ListBindings(ctx context.Context, r *pb.ListBindingsRequest) (*pb.ListBindingsResponse, error) {
	from, err := parsePageToken(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	most := maxPage
	if n := r.GetPageSize(); n > 0 {
		most = int(min(n, maxPage))
	}
	p, ok := s.bus.(pager)
	if !ok {
		all, err := s.bus.Bindings()
		if err != nil {
			return nil, refused(err)
		}
		p = wholeList(all)
	}
	policy := s.policy(ctx)
	page, next := p.PageBindings(from, most, maxPageBytes)
	out := &pb.ListBindingsResponse{NextPageToken: pageToken(next)}
	for _, b := range page {
		if !policy.Sees(b.Name) {
			continue
		}
		out.Bindings = append(out.Bindings, bindingToProto(b))
	}
	return out, nil
}

// A wholeList is what a bus gives that lists all its bindings at once, newest first. The
// place where a page begins is counted from the oldest, for new ones come at the front.
type wholeList []kbusdev.Binding

func (all wholeList) PageBindings(from uint64, most, maxBytes int) ([]kbusdev.Binding, uint64) {
	if from > 0 && from < uint64(len(all)) {
		all = all[uint64(len(all))-from:]
	}
	bytes := 0
	for i, b := range all {
		if i == most || bytes >= maxBytes {
			return all[:i], uint64(len(all) - i)
		}
		bytes += len(b.Name)
	}
	return all, 0
}

// A page token is where the next page begins, and nothing that a client can know.

func pageToken(next uint64) string {
	if next == 0 {
		return ""
	}
	return strconv.FormatUint(next, 36)
}

func parsePageToken(token string) (uint64, error) {
	if token == "" {
		return 0, nil
	}
	from, err := strconv.ParseUint(token, 36, 64)
	if err != nil || from == 0 || from == math.MaxUint64 {
		return 0, invalid("page_token %.40q is none that an answer has given; leave it empty for the first page", token)
	}
	return from, nil
}

func bindingToProto(b kbusdev.Binding) *pb.Binding {
	return &pb.Binding{Ksock: uint32(b.Ksock), IsReplier: b.Role == kbusdev.Replier, Name: b.Name}
}

// watcher returns the bus as one that tells of its bindings. The error says why it
// cannot.
func (s *Service) watcher() (kbusdev.BindingWatcher, error) {
	if w, ok := s.bus.(kbusdev.BindingWatcher); ok {
		return w, nil
	}
	return nil, refused(&cannotWatchError{s.bus.String()})
}

type cannotWatchError struct{ bus string }

func (e *cannotWatchError) Error() string {
	return "bus " + e.bus + " does not tell who binds what; only the embedded bus does. ListBindings asks it"
}

func (e *cannotWatchError) Unwrap() error { return errors.ErrUnsupported }
