package admin

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/events"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// A Service is AdminService for one node.
type Service struct {
	pb.UnimplementedAdminServiceServer
	// Node is the bus and its links. Required.
	Node *limpet.Node
	// Version is the daemon's.
	Version string
	// Started is when the daemon started.
	Started time.Time
	// Insecure returns the addresses beyond this machine that are served or dialled without
	// TLS; nil is none.
	Insecure func() []string
	// Configuration returns every setting as YAML; nil tells none.
	Configuration func() string
	// CertificateExpires returns when the certificate is over that the daemon shows; nil is
	// for one without TLS.
	CertificateExpires func() time.Time
	// Missed returns what programs that listen through the API have missed; nil is 0.
	Missed func() uint64
	// Denied returns what the rules have refused programs; nil is 0.
	Denied func() uint64
	// SpansLost returns how many trace spans have not reached their collector; nil is 0.
	SpansLost func() uint64
	// Flight writes what the flight recorder has; nil if it is off.
	Flight func(io.Writer) error
	// Explains returns what the rules make of somebody and a name, and how many there are;
	// nil is for a daemon without rules.
	Explains func(link string, id rules.Identity, network uint32, name string) ([]rules.Explained, int, error)
	// SenderOf returns what a program may do that sends a message: the one with the identity,
	// written as rules.ParseIdentity takes it, or the caller if that is "". nil lets everybody
	// do everything.
	SenderOf func(ctx context.Context, identity string) (limpet.Sender, error)
	// Programs returns the programs that are connected, see bus.Service.Programs; nil if there
	// can be none.
	Programs func(after uint64, most int, rights func(rules.Identity) []*pb.Right) (page []*pb.Program, next uint64)
	// Verdicts returns what the rules make of somebody who comes by a link, "" for programs,
	// and a name, without texts; nil is for a daemon without rules. The link is called by its
	// limpet.Peering.Origin.
	Verdicts func(link string, id rules.Identity, network uint32, name string) []rules.Explained
	// Events are the latest ones; nil if none are kept.
	Events *events.Ring
	// Reached returns how often each bound was reached, by who met it and the bound; nil is
	// never.
	Reached func() map[string]map[string]uint64
	// PolicyOf returns what the caller whose context this is may do; nil lets everybody do
	// everything.
	PolicyOf func(context.Context) *rules.Policy
	// IdentityOf returns who the caller is whose context this is; nil knows nothing of anybody.
	IdentityOf func(context.Context) rules.Identity
	// Count counts something that was refused; nil counts nothing.
	Count func(what string)
	// Reloads reads the daemon's configuration again, see AdminService.Reload; nil if it
	// cannot be.
	Reloads func(ctx context.Context, dry bool) ([]*pb.ConfigChange, error)

	ending sync.Once // makes over
	close  sync.Once // closes it
	over   chan struct{}
}

// Close ends the calls that watch.
func (s *Service) Close() {
	over := s.ended()
	s.close.Do(func() { close(over) })
}

// ended returns a channel that Close closes.
func (s *Service) ended() chan struct{} {
	s.ending.Do(func() { s.over = make(chan struct{}) })
	return s.over
}

// maxAnswer bounds an answer of GetStatus, in encoded bytes, but for its last link.
const maxAnswer = 1 << 20

var states = map[limpet.State]pb.LinkState{
	limpet.Connecting: pb.LinkState_LINK_STATE_CONNECTING,
	limpet.Up:         pb.LinkState_LINK_STATE_UP,
	limpet.Detached:   pb.LinkState_LINK_STATE_DETACHED,
	limpet.Draining:   pb.LinkState_LINK_STATE_DRAINING,
}

// GetStatus tells what the daemon is doing.
func (s *Service) GetStatus(_ context.Context, q *pb.GetStatusRequest) (*pb.GetStatusResponse, error) {
	bindings, err := countBindings(s.Node.Bus())
	if err != nil && !errors.Is(err, errors.ErrUnsupported) { // not every device can list them
		return nil, status.Errorf(codes.Internal, "counting the bindings: %v", err)
	}
	r := &pb.GetStatusResponse{
		Version:    s.Version,
		Bus:        s.Node.Bus().String(),
		NetworkId:  s.Node.NetworkID(),
		InstanceId: s.Node.Instance().String(),
		StartTime:  timestamppb.New(s.Started),
		Bindings:   uint32(bindings),
	}
	if s.Insecure != nil {
		r.Insecure = s.Insecure()
	}
	if s.Missed != nil {
		r.ApiMissed = s.Missed()
	}
	if s.Denied != nil {
		r.ApiDenied = s.Denied()
	}
	if s.SpansLost != nil {
		r.TraceSpansLost = s.SpansLost()
	}
	if s.Reached != nil {
		r.BoundsReached = boundsReached(s.Reached())
	}
	if s.Configuration != nil && q.GetConfiguration() {
		r.Configuration = s.Configuration()
	}
	if s.CertificateExpires != nil {
		r.CertificateExpires = timestamppb.New(s.CertificateExpires())
	}
	return r, s.addLinks(r, q)
}

// boundsReached returns the counts in order.
func boundsReached(all map[string]map[string]uint64) (out []*pb.BoundReached) {
	for _, who := range slices.Sorted(maps.Keys(all)) {
		for _, bound := range slices.Sorted(maps.Keys(all[who])) {
			out = append(out, &pb.BoundReached{Who: who, Bound: bound, Count: all[who][bound]})
		}
	}
	return out
}

// countBindings counts what is bound, without a list of it where the bus can do that.
func countBindings(bus kbusdev.Bus) (int, error) {
	if c, ok := bus.(interface{ CountBindings() (int, error) }); ok {
		return c.CountBindings()
	}
	all, err := bus.Bindings()
	return len(all), err
}

// addLinks adds the links asked for, as many as fit.
func (s *Service) addLinks(r *pb.GetStatusResponse, q *pb.GetStatusRequest) error {
	if q.GetLink() != "" {
		p := s.find(q.GetLink())
		if p == nil {
			return noLink(q.GetLink())
		}
		r.Links = []*pb.LinkStatus{linkStatus(p, q.GetMaxDrops())}
		return nil
	}
	size := 0
	for _, p := range s.Node.Peerings() { // by name
		if p.Name() <= q.GetPageToken() {
			continue
		}
		n := len(r.GetLinks())
		if n > 0 && (size >= maxAnswer || q.GetPageSize() > 0 && n >= int(q.GetPageSize())) {
			r.NextPageToken = r.Links[n-1].GetName()
			return nil
		}
		l := linkStatus(p, q.GetMaxDrops())
		size += proto.Size(l)
		r.Links = append(r.Links, l)
	}
	return nil
}

func (s *Service) find(name string) *limpet.Peering {
	for _, p := range s.Node.Peerings() {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

func noLink(name string) error {
	return status.Errorf(codes.NotFound, "there is no link %q; limpetctl links lists them", name)
}

// FindInterest tells over which links an announcement would go now.
func (s *Service) FindInterest(_ context.Context, q *pb.FindInterestRequest) (*pb.FindInterestResponse, error) {
	if err := kbusdev.CheckName(q.GetName()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "name %.100q: %v", q.GetName(), err)
	}
	r := new(pb.FindInterestResponse)
	for _, p := range s.Node.Peerings() { // by name
		if p.Wants(q.GetName()) {
			r.Links = append(r.Links, p.Name())
		}
	}
	return r, nil
}

// DrainLink ends a link in good order.
func (s *Service) DrainLink(ctx context.Context, q *pb.DrainLinkRequest) (*pb.DrainLinkResponse, error) {
	p := s.find(q.GetName())
	if p == nil {
		return nil, noLink(q.GetName())
	}
	if err := q.GetTimeout().CheckValid(); q.GetTimeout() != nil && err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "timeout: %v", err)
	}
	if d := q.GetTimeout().AsDuration(); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	before := p.Status().Counts.Synthetic
	p.Drain(ctx, "an operator drains the link")
	return &pb.DrainLinkResponse{Unfinished: p.Status().Counts.Synthetic - before}, nil
}

func linkStatus(p *limpet.Peering, drops uint32) *pb.LinkStatus {
	st := p.Status()
	out := &pb.LinkStatus{
		Name: st.Name, State: states[st.State], Since: timestamppb.New(st.Since), Ksock: uint32(st.Ksock),
		Epochs: st.Epochs, Resumed: st.Resumed, Dialled: p.Dialled(), Counts: counts(&st.Counts),
	}
	if st.Transport != "" {
		out.Transport, out.Identity = st.Transport, st.Identity.String()
	}
	if st.LastErr != nil {
		out.LastError = st.LastErr.Error()
		var why *link.Error
		if st.State != limpet.Up && errors.As(st.LastErr, &why) {
			out.ErrorCode = why.Code.String()
		}
	}
	if st.Peer != nil {
		out.PeerNetworkId, out.PeerInstanceId, out.PeerVersion = st.Peer.NetworkID, st.Peer.Instance.String(), st.Peer.Software
	}
	if st.Session != (link.SessionID{}) {
		out.SessionId = st.Session.String()
	}
	for _, r := range st.Renames.Renames() {
		out.Renames = append(out.Renames, r.String())
	}
	for _, n := range st.Behind {
		out.NetworksBehind = append(out.NetworksBehind, n.ID)
	}
	if drops == 0 {
		return out
	}
	all := p.Drops()
	now := time.Now()
	for i := max(0, len(all)-int(drops)); i < len(all); i++ {
		d := &all[i]
		one := &pb.Drop{
			Time: timestamppb.New(d.At), FromPeer: d.FromPeer, Reason: d.Reason, DataSize: uint32(d.Size), Message: new(pb.Message),
		}
		wire.ToProto(one.Message, &d.Message, now)
		out.Drops = append(out.Drops, one)
	}
	return out
}

func counts(c *limpet.Counts) *pb.LinkCounts {
	return &pb.LinkCounts{
		Requests: c.Requests, Replies: c.Replies, Synthetic: c.Synthetic, Open: c.Open, Asked: c.Asked,
		FromBus: c.FromBus, FromBusEnded: c.FromBusEnded, FromBusInFlight: c.FromBusInFlight,
		FromPeer: c.FromPeer, FromPeerEnded: c.FromPeerEnded, FromPeerInFlight: c.FromPeerInFlight,
		Proxies: c.Proxies, Wishes: c.Wishes, Repliers: c.Repliers, Queued: c.Queued, QueueFull: c.QueueFull,
		WindowFull: c.WindowFull, UnknownFrames: c.UnknownFrames, Busy: uint64(c.Busy), ToPeer: c.ToPeer,
		Resyncs: c.Resyncs, Lost: Lost(c), QueueBound: c.QueueBound,
	}
}
