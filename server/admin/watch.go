package admin

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// WatchLinks streams the links, and what changes. Nothing is kept for a caller that does
// not read: it is told what is so when it does.
func (s *Service) WatchLinks(q *pb.WatchLinksRequest, stream grpc.ServerStreamingServer[pb.WatchLinksResponse]) error {
	w := &linkWatch{service: s, only: q.GetLink(), stream: stream, told: make(map[string]uint64)}
	whole := false
	for {
		changed := s.Node.Changed() // before looking, so that no change is missed
		if err := w.look(!whole); err != nil {
			return err
		}
		whole = true
		select {
		case <-changed:
		case <-s.ended():
			return status.Error(codes.Unavailable, "the daemon is stopping")
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// A linkWatch is what one caller has been told.
type linkWatch struct {
	service *Service
	only    string
	stream  grpc.ServerStreamingServer[pb.WatchLinksResponse]
	told    map[string]uint64 // name -> Peering.Changes
}

// look tells what has changed since the last look, in answers of a bounded size; first
// says that there was none.
func (w *linkWatch) look(first bool) error {
	r := new(pb.WatchLinksResponse)
	size := 0
	send := func() error {
		size = 0
		err := w.stream.Send(r)
		r = new(pb.WatchLinksResponse)
		return err
	}
	here := make(map[string]bool)
	for _, p := range w.service.Node.Peerings() {
		name := p.Name()
		if w.only != "" && name != w.only {
			continue
		}
		here[name] = true
		changes := p.Changes() // before the status, which may be newer
		if last, ever := w.told[name]; ever && last == changes {
			continue
		}
		w.told[name] = changes
		l := linkStatus(p, 0)
		r.Links = append(r.Links, l)
		if size += proto.Size(l); size >= maxAnswer {
			if err := send(); err != nil {
				return err
			}
		}
	}
	for name := range w.told {
		if !here[name] {
			delete(w.told, name)
			r.Removed = append(r.Removed, name)
		}
	}
	r.Whole = first
	if first || len(r.GetLinks())+len(r.GetRemoved()) > 0 {
		return send()
	}
	return nil
}
