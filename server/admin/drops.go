package admin

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/drops"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// betweenLooks is how long to wait between two looks at what was dropped, so that a storm
// costs no more for being watched: its latest drops are told, and how many there were.
const betweenLooks = 50 * time.Millisecond

// maxReasons bounds those of a WatchDropsRequest: there are not as many.
const maxReasons = 64

// WatchDrops streams dropped messages. Nothing is kept for a caller that does not read: what
// is kept no more when it does is told as counts.
func (s *Service) WatchDrops(q *pb.WatchDropsRequest, stream grpc.ServerStreamingServer[pb.WatchDropsResponse]) error {
	if name := q.GetName(); name != "" {
		if err := kbusdev.CheckBindName(name); err != nil {
			return status.Errorf(codes.InvalidArgument, "name %.100q: %v", name, err)
		}
	}
	if n := len(q.GetReasons()); n > maxReasons {
		return status.Errorf(codes.InvalidArgument, "%d reasons are more than there are", n)
	}
	w := &dropWatch{service: s, asked: q, stream: stream, watch: s.Node.Drops().Watch()}
	defer w.watch.Close()
	pause := time.NewTimer(betweenLooks)
	defer pause.Stop()
	if err := w.look(true); err != nil {
		return err
	}
	var more <-chan struct{} // nil during the pause
	for {
		select {
		case <-pause.C:
			more = w.watch.More()
		case <-more:
			more = nil
			pause.Reset(betweenLooks)
			if err := w.look(false); err != nil {
				return err
			}
		case <-s.ended():
			return status.Error(codes.Unavailable, "the daemon is stopping")
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// A dropWatch is what one caller is told.
type dropWatch struct {
	service *Service
	asked   *pb.WatchDropsRequest
	stream  grpc.ServerStreamingServer[pb.WatchDropsResponse]
	watch   *drops.Watch
}

// look tells what was dropped since the last look, in answers of a bounded size; first says
// that there was none.
func (w *dropWatch) look(first bool) error {
	r := new(pb.WatchDropsResponse)
	err := w.watch.Look(func(p *drops.Part, some []drops.Drop, untold map[drops.Why]uint64) error {
		w.add(r, p, some, untold)
		if proto.Size(r) < maxAnswer {
			return nil
		}
		err := w.stream.Send(r)
		r = new(pb.WatchDropsResponse)
		return err
	})
	if err != nil {
		return err
	}
	r.Whole = first
	if first || len(r.GetDrops())+len(r.GetUntold()) > 0 {
		return w.stream.Send(r)
	}
	return nil
}

// add adds those of a part's drops that were asked for.
func (w *dropWatch) add(r *pb.WatchDropsResponse, p *drops.Part, some []drops.Drop, untold map[drops.Why]uint64) {
	q := w.asked
	now := time.Now()
	links := make(map[kbusdev.KsockID]string)
	for i := range some {
		d := &some[i]
		if q.GetLink() != "" && d.Link != q.GetLink() || !w.wants(d.Reason) || q.GetName() != "" && !kbusdev.Matches(q.GetName(), d.Message.Name) {
			continue
		}
		one := dropped(p.Source(), d, now)
		if d.MissedBy != 0 {
			link, known := links[d.MissedBy]
			if !known {
				if of, _ := w.service.Node.PeeringOf(d.MissedBy); of != nil {
					link = label(of.Name())
				}
				links[d.MissedBy] = link
			}
			one.MissedByLink = link
		}
		r.Drops = append(r.Drops, one)
	}
	if q.GetLink() != "" && p.Name() != q.GetLink() {
		return
	}
	counts := make(map[drops.Why]uint64)
	for why, n := range untold {
		if why.Own = false; w.wants(why.Reason) {
			counts[why] += n
		}
	}
	for _, why := range slices.SortedFunc(maps.Keys(counts), compareWhy) {
		r.Untold = append(r.Untold, &pb.DropCount{Source: dropSources[p.Source()], Link: label(p.Name()), FromPeer: why.FromPeer, Reason: why.Reason, Count: counts[why]})
	}
}

func compareWhy(a, b drops.Why) int {
	before := func(x drops.Why) int { // ours before the peer's
		if x.FromPeer {
			return 1
		}
		return 0
	}
	return cmp.Or(before(a)-before(b), strings.Compare(a.Reason, b.Reason))
}

// wants reports whether the caller wants to know of a reason.
func (w *dropWatch) wants(reason string) bool {
	return len(w.asked.GetReasons()) == 0 || slices.Contains(w.asked.GetReasons(), reason)
}

var dropSources = map[drops.Source]pb.DropSource{
	drops.Link:  pb.DropSource_DROP_SOURCE_LINK,
	drops.Bus:   pb.DropSource_DROP_SOURCE_BUS,
	drops.Rules: pb.DropSource_DROP_SOURCE_RULES,
}

// dropped returns a drop for a caller.
func dropped(source drops.Source, d *drops.Drop, now time.Time) *pb.DroppedMessage {
	out := &pb.DroppedMessage{
		Source: dropSources[source], Link: label(d.Link), FromPeer: d.FromPeer, Reason: d.Reason, Time: timestamppb.New(d.At),
		DataSize: uint32(d.Size), MissedBy: uint32(d.MissedBy), Identity: label(d.Identity), Message: new(pb.Message),
	}
	wire.ToProto(out.Message, &d.Message, now)
	out.Message.Name = label(out.GetMessage().GetName()) // of a device it need not be UTF-8
	if e := out.GetMessage().GetBindEvent(); e != nil {
		e.Name = label(e.GetName())
	}
	return out
}
