package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// DefaultAPIAddress is where a daemon's local API is unless it was told otherwise:
// in the user's runtime folder, /run/limpetd for root.
func DefaultAPIAddress() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "limpetd", "api.sock")
	}
	if os.Getuid() == 0 {
		return "/run/limpetd/api.sock"
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("limpetd-%d", os.Getuid()), "api.sock")
}

// A Bus is a daemon's bus, reached through its local API. It is safe for
// concurrent use. Errors of the bus unwrap to the errno, so that
// errors.Is(err, unix.EADDRNOTAVAIL) works as with a Ksock.
type Bus struct {
	addr  sockaddr.Address
	conn  *grpc.ClientConn
	bus   pb.BusServiceClient
	admin pb.AdminServiceClient
	wrap  func(link.Stream) link.Stream // around the streams of Ksocks; tests break them
}

// Open makes a Bus of the API at address: host:port, or the path of a Unix socket. It
// does not wait for the daemon; the first call does, or fails.
func Open(address string) (*Bus, error) {
	addr, err := sockaddr.ParseAddress(address)
	if err != nil {
		return nil, err
	}
	conn, err := newConn(addr, nil)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", addr, err)
	}
	return &Bus{addr: addr, conn: conn, bus: pb.NewBusServiceClient(conn), admin: pb.NewAdminServiceClient(conn)}, nil
}

// Close ends the connection, and with it every call.
func (b *Bus) Close() error { return b.conn.Close() }

// Conn is the connection, for services that this library does not wrap.
func (b *Bus) Conn() *grpc.ClientConn { return b.conn }

// Send sends an announcement. Of m, Name, Data and Flags count: URGENT,
// ALL_OR_FAIL, ALL_OR_WAIT (which waits until ctx ends) and the user's.
func (b *Bus) Send(ctx context.Context, m *kbusdev.Message) (kbusdev.MsgID, error) {
	r, err := b.bus.Send(ctx, &pb.SendRequest{
		Name:      m.Name,
		Data:      m.Data,
		Urgent:    m.Flags&kbusdev.Urgent != 0,
		AllOrFail: m.Flags&kbusdev.AllOrFail != 0,
		AllOrWait: m.Flags&kbusdev.AllOrWait != 0,
		UserFlags: uint32(m.Flags & kbusdev.UserFlags),
	})
	if err != nil {
		return kbusdev.MsgID{}, busError("send", m.Name, err)
	}
	return kbusdev.MsgID{Network: r.GetIdNetwork(), Serial: r.GetIdSerial()}, nil
}

// Call sends a request and waits for its reply until ctx ends; the deadline of ctx goes
// with the request, so that no replier is given it in vain. Of m, Name, Data,
// To, FinalTo, URGENT and the user's flags count. A synthetic reply is a reply:
// Failure tells it from a replier's.
func (b *Bus) Call(ctx context.Context, m *kbusdev.Message) (*kbusdev.Message, error) {
	r, err := b.bus.Call(ctx, &pb.CallRequest{
		Name: m.Name, Data: m.Data, Urgent: m.Flags&kbusdev.Urgent != 0,
		To: uint32(m.To), FinalToNetwork: m.FinalTo.Network, FinalToLocal: uint32(m.FinalTo.Local),
		UserFlags: uint32(m.Flags & kbusdev.UserFlags),
	})
	if err != nil {
		return nil, busError("call", m.Name, err)
	}
	return fromProto(r.GetReply()), nil
}

// Failure tells whether a reply is the word of a bus or a limpet that no replier
// will answer, and which: "Replier.GoneAway", "RemoteError.EADDRNOTAVAIL".
func Failure(reply *kbusdev.Message) (what string, failed bool) {
	const prefix = "$.KBUS."
	if len(reply.Name) > len(prefix) && reply.Name[:len(prefix)] == prefix {
		return reply.Name[len(prefix):], true
	}
	return "", false
}

// A Listener hears messages.
type Listener struct {
	stream grpc.ServerStreamingClient[pb.ListenResponse]
	cancel context.CancelFunc
	missed atomic.Uint64
	// Ksock is what listens on the bus.
	Ksock kbusdev.KsockID
}

// Missed returns how many messages this listener had missed, because its queue on the
// bus was full, when the daemon sent the last one that Recv returned. It is safe for
// concurrent use. Of a device it is always 0, for that does not tell.
func (l *Listener) Missed() uint64 { return l.missed.Load() }

// ListenConfig is what to listen to.
type ListenConfig struct {
	// Names and wildcards, at least one.
	Names []string
	// MaxMessages bounds what may wait on the bus; 0 is the bus's own bound.
	MaxMessages uint32
	// OnlyOnce: a message that several names match is heard once.
	OnlyOnce bool
}

// Listen binds the names, and returns when that is done. The Listener is to be closed.
func (b *Bus) Listen(ctx context.Context, cfg ListenConfig) (*Listener, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := b.bus.Listen(ctx, &pb.ListenRequest{Names: cfg.Names, MaxMessages: cfg.MaxMessages, OnlyOnce: cfg.OnlyOnce})
	var first *pb.ListenResponse
	if err == nil {
		first, err = stream.Recv()
	}
	if err != nil {
		cancel()
		return nil, busError("listen", fmt.Sprint(cfg.Names), err)
	}
	return &Listener{stream: stream, cancel: cancel, Ksock: kbusdev.KsockID(first.GetKsock())}, nil
}

// Recv waits for the next message. It ends with the context given to Listen.
func (l *Listener) Recv() (*kbusdev.Message, error) {
	r, err := l.stream.Recv()
	if err != nil {
		return nil, busError("listen", "", err)
	}
	l.missed.Store(r.GetMissed())
	return fromProto(r.GetMessage()), nil
}

// Close stops listening. Closing again does nothing.
func (l *Listener) Close() { l.cancel() }

// A Replier gets requests and answers them. Recv and Reply may each be used by
// one goroutine at a time.
type Replier struct {
	stream grpc.BidiStreamingClient[pb.ServeRequest, pb.ServeResponse]
	cancel context.CancelFunc
	// Ksock is what replies on the bus.
	Ksock kbusdev.KsockID
}

// Serve binds the names as replier, and returns when that is done. The Replier is
// to be closed; what it owes then is answered by the bus.
func (b *Bus) Serve(ctx context.Context, maxMessages uint32, names ...string) (*Replier, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := b.bus.Serve(ctx)
	if err == nil {
		err = stream.Send(&pb.ServeRequest{Kind: &pb.ServeRequest_Bind{Bind: &pb.ServeBind{Names: names, MaxMessages: maxMessages}}})
		if errors.Is(err, io.EOF) {
			err = nil // the reason comes with Recv
		}
	}
	var first *pb.ServeResponse
	if err == nil {
		first, err = stream.Recv()
	}
	if err != nil {
		cancel()
		return nil, busError("bind", fmt.Sprint(names), err)
	}
	return &Replier{stream: stream, cancel: cancel, Ksock: kbusdev.KsockID(first.GetBound().GetKsock())}, nil
}

// Recv waits for the next request. An answer that the bus refused comes as an
// *kbusdev.OpError of op "reply"; going on with Recv is right then, also when the
// error is another.
func (r *Replier) Recv() (*kbusdev.Message, error) {
	resp, err := r.stream.Recv()
	if err != nil {
		return nil, busError("serve", "", err)
	}
	if no := resp.GetRefused(); no != nil {
		inner := errors.New(no.GetMessage())
		if errno, ok := kbusdev.ErrnoFromName(no.GetErrno()); ok {
			inner = errno
		}
		return nil, &kbusdev.OpError{Op: "reply", Name: fmt.Sprintf("to [%d:%d]", no.GetRequestNetwork(), no.GetRequestSerial()), Err: inner}
	}
	return fromProto(resp.GetRequest()), nil
}

// Reply answers a request with data. name is the reply's; "" is the request's.
func (r *Replier) Reply(request *kbusdev.Message, name string, data []byte) error {
	err := r.stream.Send(&pb.ServeRequest{Kind: &pb.ServeRequest_Reply{Reply: &pb.ServeReply{
		RequestNetwork: request.ID.Network, RequestSerial: request.ID.Serial, Name: name, Data: data,
	}}})
	if err != nil {
		return busError("reply", request.Name, err)
	}
	return nil
}

// Finish says that no more replies come, waits until those sent have been given
// to the bus, and unbinds. What is still owed is answered by the bus.
func (r *Replier) Finish() error {
	defer r.cancel()
	if err := r.stream.CloseSend(); err != nil {
		return busError("finish", "", err)
	}
	for {
		if _, err := r.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// Close unbinds at once. Closing again does nothing.
func (r *Replier) Close() { r.cancel() }

// FindReplier asks who replies to a name, wildcards considered; binding is the
// name it bound.
func (b *Bus) FindReplier(ctx context.Context, name string) (id kbusdev.KsockID, binding string, found bool, err error) {
	r, err := b.bus.FindReplier(ctx, &pb.FindReplierRequest{Name: name})
	if err != nil {
		return 0, "", false, busError("replier", name, err)
	}
	return kbusdev.KsockID(r.GetKsock()), r.GetBinding(), r.GetFound(), nil
}

// Bindings lists what is bound, newest first.
func (b *Bus) Bindings(ctx context.Context) ([]kbusdev.Binding, error) {
	r, err := b.bus.ListBindings(ctx, &pb.ListBindingsRequest{})
	if err != nil {
		return nil, busError("bindings", "", err)
	}
	var all []kbusdev.Binding
	for _, x := range r.GetBindings() {
		all = append(all, kbusdev.Binding{Ksock: kbusdev.KsockID(x.GetKsock()), Role: kbusdev.Role(x.GetIsReplier()), Name: x.GetName()})
	}
	return all, nil
}

// Status returns what the daemon is doing, with all its links.
func (b *Bus) Status(ctx context.Context) (*pb.GetStatusResponse, error) {
	return b.status(ctx, &pb.GetStatusRequest{})
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
			return nil, busError("status", q.GetLink(), err)
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
		return nil, busError("interest", name, err)
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

// DrainLink ends a link in good order, and returns when it has ended: what is open may
// finish within timeout, or the daemon's own drain timeout if that is 0 or less. It
// returns how many requests were answered by the limpet because they did not.
func (b *Bus) DrainLink(ctx context.Context, name string, timeout time.Duration) (unfinished uint64, err error) {
	r, err := b.admin.DrainLink(ctx, &pb.DrainLinkRequest{Name: name, Timeout: durationpb.New(timeout)})
	if err != nil {
		return 0, busError("drain", name, err)
	}
	return r.GetUnfinished(), nil
}

// WaitReady waits until the daemon answers, or ctx ends.
func (b *Bus) WaitReady(ctx context.Context) error {
	_, err := b.admin.GetStatus(ctx, &pb.GetStatusRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return busError("waiting for the daemon", "", err)
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

// A CallError is a status from the daemon. It unwraps to the errno when the bus
// gave one, and to the context's error for the codes of those.
type CallError struct {
	// Op and Name say what was being done.
	Op, Name string
	// Code and Message are the status's.
	Code    codes.Code
	Message string
	err     error
}

// Error gives the daemon's message, which names what was refused.
func (e *CallError) Error() string { return e.Message }

// Unwrap gives the errno or context error, if there is one.
func (e *CallError) Unwrap() error { return e.err }

func busError(op, name string, err error) error {
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	e := &CallError{Op: op, Name: name, Code: st.Code(), Message: st.Message(), err: err}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == "kbus" {
			if errno, ok := kbusdev.ErrnoFromName(info.GetReason()); ok {
				e.err = errno
			}
		}
	}
	switch st.Code() {
	case codes.DeadlineExceeded:
		e.err = context.DeadlineExceeded
	case codes.Canceled:
		e.err = context.Canceled
	default: // the errno says it, if there is one
	}
	return e
}

// fromProto gives a message that the API showed; absent is all zero.
func fromProto(in *pb.Message) *kbusdev.Message {
	if in == nil {
		return new(kbusdev.Message)
	}
	m := new(kbusdev.Message)
	wire.FromProto(m, in, time.Now())
	return m
}
