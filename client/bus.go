package client

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/rpcstream"
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
	to    rpcstream.Target
	conn  *grpc.ClientConn
	bus   pb.BusServiceClient
	admin pb.AdminServiceClient
	wrap  func(link.Stream) link.Stream // around the streams of Ksocks; tests break them
}

// Open makes a Bus of the API at address: host:port, or the path of a Unix socket. It
// does not wait for the daemon; the first call does, or fails. Over TCP it takes WithTLS,
// unless the host is localhost or a loopback address; the error is also that of its files.
// DefaultAPIAddress is dialled only if nobody else can have put a socket there.
func Open(address string, opts ...Option) (*Bus, error) {
	to, err := target(address, opts)
	if err != nil {
		return nil, err
	}
	conn, err := rpcstream.NewConn(to, rpcstream.ProgramWindow)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", to, err)
	}
	return &Bus{to: to, conn: conn, bus: pb.NewBusServiceClient(conn), admin: pb.NewAdminServiceClient(conn)}, nil
}

// Close ends the connection, and with it every call.
func (b *Bus) Close() error { return b.conn.Close() }

// Conn is the connection, for services that this library does not wrap.
func (b *Bus) Conn() *grpc.ClientConn { return b.conn }

// Send sends an announcement. Of m, Name, Data and Flags count: URGENT,
// ALL_OR_FAIL, ALL_OR_WAIT (which waits until ctx ends) and the user's.
func (b *Bus) Send(ctx context.Context, m *kbusdev.Message) (kbusdev.MsgID, error) {
	if m == nil {
		return kbusdev.MsgID{}, errNil("send", "message")
	}
	r, err := b.bus.Send(traced(ctx, m), &pb.SendRequest{
		Name: m.Name, Data: m.Data, Flags: flagsToProto(m.Flags), UserFlags: uint32(m.Flags & kbusdev.UserFlags),
	})
	if err != nil {
		return kbusdev.MsgID{}, statusError("send", m.Name, err)
	}
	return kbusdev.MsgID{Network: r.GetIdNetwork(), Serial: r.GetIdSerial()}, nil
}

// FindReplier asks who replies to a name, wildcards considered; binding is the
// name it bound.
func (b *Bus) FindReplier(ctx context.Context, name string) (id kbusdev.KsockID, binding string, found bool, err error) {
	r, err := b.bus.FindReplier(ctx, &pb.FindReplierRequest{Name: name})
	if err != nil {
		return 0, "", false, statusError("replier", name, err)
	}
	return kbusdev.KsockID(r.GetKsock()), r.GetBinding(), r.GetFound(), nil
}

// Bindings lists what is bound, newest first.
func (b *Bus) Bindings(ctx context.Context) ([]kbusdev.Binding, error) {
	var all []kbusdev.Binding
	for page, err := range b.BindingPages(ctx, 0) {
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
	}
	return all, nil
}

// BindingPages lists what is bound, newest first, some at a time: at most pageSize, or as
// many as the daemon gives at once if that is 0. An error is the last that it yields.
func (b *Bus) BindingPages(ctx context.Context, pageSize uint32) iter.Seq2[[]kbusdev.Binding, error] {
	return func(yield func([]kbusdev.Binding, error) bool) {
		q := &pb.ListBindingsRequest{PageSize: pageSize}
		for {
			r, err := b.bus.ListBindings(ctx, q)
			if err != nil {
				yield(nil, statusError("bindings", "", err))
				return
			}
			if !yield(each(r.GetBindings(), bindingFromProto), nil) || r.GetNextPageToken() == "" {
				return
			}
			q.PageToken = r.GetNextPageToken()
		}
	}
}

// flagsToProto returns those of the flags that a sender may ask for.
func flagsToProto(f kbusdev.Flags) (out []pb.Flag) {
	for _, x := range []struct {
		bit  kbusdev.Flags
		flag pb.Flag
	}{
		{kbusdev.Urgent, pb.Flag_FLAG_URGENT},
		{kbusdev.AllOrFail, pb.Flag_FLAG_ALL_OR_FAIL},
		{kbusdev.AllOrWait, pb.Flag_FLAG_ALL_OR_WAIT},
	} {
		if f&x.bit != 0 {
			out = append(out, x.flag)
		}
	}
	return out
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
