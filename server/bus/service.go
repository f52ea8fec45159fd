package bus

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/guard"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// Bounds of what one client may ask for.
const (
	maxNames       = 1024
	maxClientQueue = 65536
	maxOwedReplies = 65536
	// maxWatches bounds the watches of all clients: each is looked at for each name that a
	// program binds.
	maxWatches = 1024
)

// A Service lets programs in any language onto the bus. Each call has its own Ksock,
// so that what a client leaves undone ends with its call; that of Attach outlives its call
// by a grace. It is safe for concurrent use.
type Service struct {
	pb.UnimplementedBusServiceServer
	// LinkOf returns the link whose limpet a Ksock is; nil is for a bus without links. It
	// is set before the service is used, and safe for concurrent use.
	LinkOf func(kbusdev.KsockID) (Link, bool)
	// IdentityOf returns who makes a call; nil knows nobody. PolicyOf returns what somebody
	// may do, nil is everything; when it has other answers RulesChanged is called. Both are
	// as LinkOf; PolicyOf calls nothing of the service.
	IdentityOf func(context.Context) rules.Identity
	PolicyOf   func(rules.Identity) *rules.Policy
	// TraceOf returns the trace context for what a call sends, nil if it has none; nil is
	// for none ever. It is as LinkOf.
	TraceOf func(context.Context) *kbusdev.TraceContext
	// OnDenied, unless nil, is told of each message that somebody may not send; From is the
	// Ksock that was to send it. It does not keep the message's data. It is as LinkOf.
	OnDenied func(rules.Identity, *kbusdev.Message)

	bus  kbusdev.Bus
	ctx  context.Context // ends with Close
	stop context.CancelFunc

	sessions *sessions // of Attach
	tally    *guard.Tally
	maxNames int64
	names    atomic.Int64 // that programs have bound

	mu        sync.Mutex
	came      uint64 // the number of the latest visit
	listening map[kbusdev.Ksock]struct{}
	ksocks    map[kbusdev.KsockID]*judged // those that are open
	missed    uint64                      // by the streams that have ended
	watchers  map[*watcher]struct{}

	denied         atomic.Uint64
	deniedMessages atomic.Uint64 // among them
}

// An Option changes how a Service behaves.
type Option func(*Service)

// WithProgramGrace sets how long the session of a program, with its Ksock, is kept after
// its stream has broken; 0 is not at all. The default is DefaultProgramGrace.
func WithProgramGrace(d time.Duration) Option {
	return func(s *Service) { s.sessions.grace = max(d, 0) }
}

// WithProgramBytes sets how much the sessions of all programs may hold together, in bytes,
// of what they have not taken and of what could not be done yet; then the one that holds most
// is ended. The default is DefaultProgramBytes.
func WithProgramBytes(n int) Option {
	return func(s *Service) { s.sessions.hoard.most = int64(n) }
}

// WithLog sets where bounds that are reached are said; the default is nowhere.
func WithLog(log *slog.Logger) Option {
	return func(s *Service) { s.tally = guard.NewTally("programs", log) }
}

// Reached returns how often each bound was reached, of those that were.
func (s *Service) Reached() map[string]uint64 { return s.tally.Counts() }

// New returns the service of a bus. Close must be called.
func New(bus kbusdev.Bus, opts ...Option) *Service {
	s := &Service{
		bus: bus, listening: make(map[kbusdev.Ksock]struct{}), ksocks: make(map[kbusdev.KsockID]*judged), watchers: make(map[*watcher]struct{}), sessions: newSessions(DefaultProgramGrace),
		maxNames: DefaultNames, tally: guard.NewTally("programs", slog.New(slog.DiscardHandler)),
	}
	for _, o := range opts {
		o(s)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Close ends every call, and every session of a program, by closing its Ksock: the bus
// answers what they owe. It waits until the sessions are over, a few seconds at most.
func (s *Service) Close() {
	s.stop()
	s.sessions.close()
}

// ksock opens a Ksock for the caller that is closed when the call or the service ends.
func (s *Service) ksock(ctx context.Context) (kbusdev.Ksock, func(), error) {
	k, err := s.open(s.visitOf(ctx), kbusdev.ReadWrite)
	if err != nil {
		return nil, nil, refused(err)
	}
	stop := context.AfterFunc(s.ctx, func() { _ = k.Close() })
	return k, func() { stop(); _ = k.Close() }, nil
}

// trace returns the trace context for what a call sends.
func (s *Service) trace(ctx context.Context) *kbusdev.TraceContext {
	if s.TraceOf == nil {
		return nil
	}
	return s.TraceOf(ctx)
}

// Send sends an announcement.
func (s *Service) Send(ctx context.Context, r *pb.SendRequest) (*pb.SendResponse, error) {
	m, err := fromClient(r)
	if err != nil {
		return nil, err
	}
	k, done, err := s.ksock(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	m.Trace = s.trace(ctx)
	id, err := k.Send(ctx, m)
	if err != nil {
		return nil, refused(err)
	}
	return &pb.SendResponse{IdNetwork: id.Network, IdSerial: id.Serial}, nil
}

// bind binds names for a client, and sets the bound of its queue. release is called when the
// Ksock has been closed.
func (s *Service) bind(ctx context.Context, k kbusdev.Ksock, names []string, as kbusdev.Role, maxMessages uint32) (release func(), err error) {
	switch {
	case len(names) == 0:
		return nil, invalid("at least one name is needed")
	case len(names) > maxNames:
		return nil, invalid("%d names, at most %d are allowed", len(names), maxNames)
	case maxMessages > maxClientQueue:
		return nil, invalid("max_messages is %d, at most %d are allowed", maxMessages, maxClientQueue)
	}
	if _, err := k.MaxMessages(maxMessages); err != nil {
		return nil, refused(err)
	}
	if err := s.takeNames(len(names), names[0], sourceOf(ctx)); err != nil {
		return nil, refused(err)
	}
	release = func() { s.giveNames(len(names)) }
	for _, name := range names {
		if err := k.Bind(name, as); err != nil {
			release()
			return nil, refused(err)
		}
	}
	return release, nil
}

// Listen streams what is heard. A client that reads slowly is held up by flow
// control, and the bus drops what finds no room in its queue.
func (s *Service) Listen(r *pb.ListenRequest, stream grpc.ServerStreamingServer[pb.ListenResponse]) error {
	k, done, err := s.ksock(stream.Context())
	if err != nil {
		return err
	}
	defer done()
	if r.GetOnlyOnce() {
		if _, err := k.OnlyOnce(kbusdev.On); err != nil {
			return refused(err)
		}
	}
	release, err := s.bind(stream.Context(), k, r.GetNames(), kbusdev.Listener, r.GetMaxMessages())
	if err != nil {
		return err
	}
	defer release()
	s.listens(k) // before the client knows, who may ask at once what it has missed
	defer s.listensNoMore(k)
	if err := stream.Send(&pb.ListenResponse{Ksock: uint32(k.ID())}); err != nil {
		return err
	}
	for {
		m, err := k.Recv(stream.Context())
		if err != nil {
			return refused(err)
		}
		if err := stream.Send(&pb.ListenResponse{Message: toProto(m), Missed: missed(k)}); err != nil {
			return err
		}
	}
}

// Serve lets a client be a replier.
func (s *Service) Serve(stream grpc.BidiStreamingServer[pb.ServeRequest, pb.ServeResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return status.Error(codes.InvalidArgument, "the first message must bind names")
	}
	b := first.GetBind()
	if b == nil {
		return invalid("the first message must bind names")
	}
	k, done, err := s.ksock(stream.Context())
	if err != nil {
		return err
	}
	defer done()
	release, err := s.bind(stream.Context(), k, b.GetNames(), kbusdev.Replier, b.GetMaxMessages())
	if err != nil {
		return err
	}
	defer release()
	if err := stream.Send(&pb.ServeResponse{Kind: &pb.ServeResponse_Bound{Bound: &pb.ServeBound{Ksock: uint32(k.ID())}}}); err != nil {
		return err
	}
	c := &replier{stream: stream, ksock: k, owed: make(map[kbusdev.MsgID]asker), room: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	go func() { cancel(c.takeReplies(ctx)) }() // ends with the stream, whose handler this is
	err = c.giveRequests(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return refused(err)
}

// A replier is a client of Serve.
type replier struct {
	stream grpc.BidiStreamingServer[pb.ServeRequest, pb.ServeResponse]
	ksock  kbusdev.Ksock
	room   chan struct{} // signalled when less is owed

	mu   sync.Mutex
	owed map[kbusdev.MsgID]asker

	sendMu sync.Mutex // the stream has one sender at a time
}

type asker struct {
	from kbusdev.KsockID
	name string
}

func (c *replier) send(r *pb.ServeResponse) error {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	return c.stream.Send(r)
}

func (c *replier) giveRequests(ctx context.Context) error {
	for {
		c.mu.Lock()
		full := len(c.owed) >= maxOwedReplies
		c.mu.Unlock()
		if full {
			select {
			case <-c.room:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		m, err := c.ksock.Recv(ctx)
		if err != nil {
			return err
		}
		if !m.WantsUsToReply() {
			continue
		}
		c.mu.Lock()
		c.owed[m.ID] = asker{from: m.From, name: m.Name}
		c.mu.Unlock()
		if err := c.send(&pb.ServeResponse{Kind: &pb.ServeResponse_Request{Request: toProto(m)}}); err != nil {
			return err
		}
	}
}

func (c *replier) takeReplies(ctx context.Context) error {
	for {
		r, err := c.stream.Recv()
		if err != nil {
			return err
		}
		reply := r.GetReply()
		if reply == nil {
			return invalid("names are bound once, in the first message; then come replies")
		}
		if err := c.answer(ctx, reply); err != nil {
			return err
		}
	}
}

// answer sends a reply on the bus. What the bus refuses is told to the client,
// which still owes an answer unless the asker has gone.
func (c *replier) answer(ctx context.Context, r *pb.ServeReply) error {
	id := kbusdev.MsgID{Network: r.GetRequestNetwork(), Serial: r.GetRequestSerial()}
	c.mu.Lock()
	to, open := c.owed[id]
	c.mu.Unlock()
	tell := func(errno, why string) error {
		return c.send(&pb.ServeResponse{Kind: &pb.ServeResponse_Refused{Refused: &pb.ServeRefused{
			RequestNetwork: id.Network, RequestSerial: id.Serial, Errno: errno, Message: why,
		}}})
	}
	if !open {
		return tell("ECONNREFUSED", "no request "+id.String()+" is open here")
	}
	m, err := fromClient(r)
	if err != nil {
		return tell("EINVAL", status.Convert(err).Message())
	}
	if m.Name == "" {
		m.Name = to.name
	}
	m.To, m.InReplyTo = to.from, id
	_, err = c.ksock.Send(ctx, m)
	errno, refused := kbusdev.ErrnoOf(err)
	if err != nil && !refused {
		return err
	}
	if err == nil || kbusdev.ErrnoName(errno) == "EADDRNOTAVAIL" || kbusdev.ErrnoName(errno) == "ECONNREFUSED" {
		c.mu.Lock()
		delete(c.owed, id)
		c.mu.Unlock()
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
	if err != nil {
		return tell(kbusdev.ErrnoName(errno), err.Error())
	}
	return nil
}

// A replierFinder is a bus that finds the most specific replier of a name without
// a list of all its bindings.
type replierFinder interface {
	FindReplier(name string) (kbusdev.Binding, bool)
}

// FindReplier looks for the most specific replier bound.
func (s *Service) FindReplier(ctx context.Context, r *pb.FindReplierRequest) (*pb.FindReplierResponse, error) {
	if err := kbusdev.CheckName(r.GetName()); err != nil {
		return nil, refused(&kbusdev.OpError{Op: "replier", Name: r.GetName(), Err: err})
	}
	if !s.policy(ctx).Sees(r.GetName()) {
		return &pb.FindReplierResponse{}, nil
	}
	if bus, ok := s.bus.(replierFinder); ok {
		b, found := bus.FindReplier(r.GetName())
		return &pb.FindReplierResponse{Found: found, Ksock: uint32(b.Ksock), Binding: b.Name}, nil
	}
	all, err := s.bus.Bindings()
	if errors.Is(err, errors.ErrUnsupported) {
		return s.queryReplier(ctx, r.GetName())
	}
	if err != nil {
		return nil, refused(err)
	}
	found := &pb.FindReplierResponse{}
	best := -1
	for _, b := range all { // newest first, so that the first of a kind wins
		if b.Role == kbusdev.Replier && kbusdev.Matches(b.Name, r.GetName()) && kbusdev.Specificity(b.Name) > best {
			best = kbusdev.Specificity(b.Name)
			found.Found, found.Ksock, found.Binding = true, uint32(b.Ksock), b.Name
		}
	}
	return found, nil
}

// queryReplier asks a bus that cannot list its bindings, whose query compares
// exactly, for each name that can be bound for this one. Of several "*" it takes
// the longest, for the bus does not tell which is the newest.
func (s *Service) queryReplier(ctx context.Context, name string) (*pb.FindReplierResponse, error) {
	k, done, err := s.ksock(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	stem := name[:strings.LastIndexByte(name, '.')]
	candidates := []string{name, stem + ".%"}
	for ; stem != ""; stem = stem[:max(strings.LastIndexByte(stem, '.'), 0)] {
		candidates = append(candidates, stem+".*")
	}
	for _, c := range candidates {
		id, ok, err := k.Replier(c)
		if err != nil {
			return nil, refused(err)
		}
		if ok {
			return &pb.FindReplierResponse{Found: true, Ksock: uint32(id), Binding: c}, nil
		}
	}
	return &pb.FindReplierResponse{}, nil
}
