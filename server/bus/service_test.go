package bus_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/leaks"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet/wire"
	"github.com/kbus-limpet/limpet/server/bus"
)

type fixture struct {
	bus     *membus.Bus
	service *bus.Service
	api     *grpc.ClientConn
}

// serve runs the service on a listener in memory until the test ends.
func serve(t *testing.T, grace ...time.Duration) *fixture {
	t.Helper()
	var opts []bus.Option
	for _, d := range grace {
		opts = append(opts, bus.WithProgramGrace(d))
	}
	return serveWith(t, opts...)
}

func serveWith(t *testing.T, opts ...bus.Option) *fixture {
	t.Helper()
	before := goleak.IgnoreCurrent()
	f := &fixture{bus: membus.New()}
	f.service = bus.New(f.bus, opts...)
	server := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec))
	pb.RegisterBusServiceServer(server, f.service)
	l := bufconn.Listen(1 << 20)
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	var err error
	f.api, err = grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.api.Close()
		f.service.Close()
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		leaks.Verify(t, before)
	})
	return f
}

// wantStatus checks a code, the errno in the detail, and words of the message.
func wantStatus(t *testing.T, err error, code codes.Code, errno, words string) {
	t.Helper()
	st, _ := status.FromError(err)
	if st.Code() != code || !strings.Contains(st.Message(), words) {
		t.Errorf("got %v, want %v about %q", err, code, words)
	}
	got := ""
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == bus.ErrorDomain {
			got = info.GetMetadata()["errno"]
		}
	}
	if got != errno {
		t.Errorf("%v names errno %q, want %q", err, got, errno)
	}
}

func TestBadCallsAreRefusedClearly(t *testing.T) {
	api := pb.NewBusServiceClient(serve(t).api)
	ctx := t.Context()
	send := func(r *pb.SendRequest) error { _, err := api.Send(ctx, r); return err }
	call := func(r *pb.CallRequest) error { _, err := api.Call(ctx, r); return err }
	listen := func(r *pb.ListenRequest) error {
		s, err := api.Listen(ctx, r)
		if err == nil {
			_, err = s.Recv()
		}
		return err
	}
	serving := func(r *pb.ServeRequest) error {
		s, err := api.Serve(ctx)
		if err == nil {
			err = s.Send(r)
		}
		if err == nil {
			_, err = s.Recv()
		}
		return err
	}
	bindTo := func(names ...string) *pb.ServeRequest {
		return &pb.ServeRequest{Kind: &pb.ServeRequest_Bind{Bind: &pb.ServeBind{Names: names}}}
	}
	for _, c := range []struct {
		name         string
		err          error
		code         codes.Code
		errno, words string
	}{
		{"bad name", send(&pb.SendRequest{Name: "hello"}), codes.InvalidArgument, "EBADMSG", `"hello" is not a name`},
		{"no name", send(&pb.SendRequest{}), codes.InvalidArgument, "EINVAL", ""},
		{"a wildcard to send", send(&pb.SendRequest{Name: "$.*"}), codes.InvalidArgument, "EBADMSG", `"$.*"`},
		{"name too long", send(&pb.SendRequest{Name: "$." + strings.Repeat("a", 1000)}), codes.InvalidArgument, "ENAMETOOLONG", "longer than 1000"},
		{"data too long", send(&pb.SendRequest{Name: "$.A", Data: make([]byte, 409600)}), codes.InvalidArgument, "EMSGSIZE", "too large"},
		{"low flags", send(&pb.SendRequest{Name: "$.A", UserFlags: 1}), codes.InvalidArgument, "EINVAL", "user_flags is 0x1"},
		{"both all-or flags", send(&pb.SendRequest{Name: "$.A", Flags: []pb.Flag{pb.Flag_FLAG_ALL_OR_FAIL, pb.Flag_FLAG_ALL_OR_WAIT}}), codes.InvalidArgument, "EINVAL", "exclude each other"},
		{"no flag", send(&pb.SendRequest{Name: "$.A", Flags: []pb.Flag{pb.Flag_FLAG_UNSPECIFIED}}), codes.InvalidArgument, "EINVAL", "FLAG_UNSPECIFIED is not known"},
		{"an unknown flag", call(&pb.CallRequest{Name: "$.A", Flags: []pb.Flag{77}}), codes.InvalidArgument, "EINVAL", "flag 77 is not known"},
		{"data twice", send(&pb.SendRequest{Name: "$.A", Data: []byte("x"), DataText: "x"}), codes.InvalidArgument, "EINVAL", "data and data_text are both set"},
		{"data twice in a call", call(&pb.CallRequest{Name: "$.A", Data: []byte("x"), DataText: "x"}), codes.InvalidArgument, "EINVAL", "data and data_text are both set"},
		{"no replier", call(&pb.CallRequest{Name: "$.Nobody"}), codes.NotFound, "EADDRNOTAVAIL", "no replier is bound to $.Nobody on this bus"},
		{"call bad name", call(&pb.CallRequest{Name: "$.A.%"}), codes.InvalidArgument, "EBADMSG", `"$.A.%"`},
		{"listen to nothing", listen(&pb.ListenRequest{}), codes.InvalidArgument, "EINVAL", "at least one name"},
		{"listen to no name", listen(&pb.ListenRequest{Names: []string{"$.A", "x"}}), codes.InvalidArgument, "EBADMSG", `"x"`},
		{"listen with a huge queue", listen(&pb.ListenRequest{Names: []string{"$.A"}, MaxMessages: 1 << 30}), codes.InvalidArgument, "EINVAL", "at most 65536"},
		{"listen to too many", listen(&pb.ListenRequest{Names: make([]string, 1025)}), codes.InvalidArgument, "EINVAL", "1025 names"},
		{"serve without names", serving(bindTo()), codes.InvalidArgument, "EINVAL", "at least one name"},
		{"serve the bind event", serving(bindTo(kbusdev.NameReplierBindEvent)), codes.InvalidArgument, "EBADMSG", "ReplierBindEvent"},
		{"serve a reply first", serving(&pb.ServeRequest{}), codes.InvalidArgument, "EINVAL", "must bind names"},
	} {
		t.Run(c.name, func(t *testing.T) { wantStatus(t, c.err, c.code, c.errno, c.words) })
	}
}

func TestServe(t *testing.T) {
	f := serve(t)
	api := pb.NewBusServiceClient(f.api)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := api.Serve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Send(&pb.ServeRequest{Kind: &pb.ServeRequest_Bind{Bind: &pb.ServeBind{Names: []string{"$.Ask.*"}}}}))
	bound, err := s.Recv()
	if err != nil || bound.GetBound().GetKsock() == 0 {
		t.Fatalf("bound: %v, %v", bound, err)
	}
	_, err = api.Serve(ctx)
	must(err)
	found, err := api.FindReplier(ctx, &pb.FindReplierRequest{Name: "$.Ask.Me"})
	if err != nil || !found.GetFound() || found.GetBinding() != "$.Ask.*" || found.GetKsock() != bound.GetBound().GetKsock() {
		t.Errorf("FindReplier: %v, %v", found, err)
	}
	replies := make(chan *pb.Message, 1)
	errs := make(chan error, 1)
	go func() {
		r, err := api.Call(ctx, &pb.CallRequest{Name: "$.Ask.Me", Data: []byte("hi"), UserFlags: 1 << 16})
		errs <- err
		replies <- r.GetReply()
	}()
	q, err := s.Recv()
	if err != nil || string(q.GetRequest().GetData()) != "hi" || q.GetRequest().GetFlags()&(1<<16) == 0 {
		t.Fatalf("request: %v, %v", q, err)
	}
	reply := func(serial uint32) *pb.ServeRequest {
		return &pb.ServeRequest{Kind: &pb.ServeRequest_Reply{Reply: &pb.ServeReply{RequestSerial: serial, Data: []byte("ho")}}}
	}
	must(s.Send(reply(9999)))
	no, err := s.Recv()
	if err != nil || no.GetRefused().GetErrno() != "ECONNREFUSED" || !strings.Contains(no.GetRefused().GetMessage(), "[0:9999]") {
		t.Errorf("an answer to nothing: %v, %v", no, err)
	}
	twice := reply(q.GetRequest().GetIdSerial())
	twice.GetReply().DataText = "hum"
	must(s.Send(twice)) // and it still owes the answer
	no, err = s.Recv()
	if err != nil || no.GetRefused().GetErrno() != "EINVAL" || !strings.Contains(no.GetRefused().GetMessage(), "both set") {
		t.Errorf("data twice: %v, %v", no, err)
	}
	text := reply(q.GetRequest().GetIdSerial())
	text.GetReply().Data, text.GetReply().DataText = nil, "ho"
	must(s.Send(text))
	must(<-errs)
	if r := <-replies; string(r.GetData()) != "ho" || r.GetName() != "$.Ask.Me" {
		t.Errorf("reply %v", r)
	}
	// What is owed when the stream ends is answered by the bus.
	go func() {
		r, err := api.Call(t.Context(), &pb.CallRequest{Name: "$.Ask.Me"})
		errs <- err
		replies <- r.GetReply()
	}()
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	must(s.CloseSend())
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end of the stream is %v", err)
	}
	must(<-errs)
	if r := <-replies; r.GetName() != kbusdev.NameReplierIgnored {
		t.Errorf("the owed reply is %v", r)
	}
}

func TestCallEndsWithItsDeadline(t *testing.T) {
	f := serve(t)
	k, err := f.bus.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := k.Bind("$.Silent", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = pb.NewBusServiceClient(f.api).Call(ctx, &pb.CallRequest{Name: "$.Silent"})
	wantStatus(t, err, codes.DeadlineExceeded, "", "")
}

// A client that never reads holds up nobody but itself.
func TestClientThatNeverReads(t *testing.T) {
	f := serve(t)
	api := pb.NewBusServiceClient(f.api)
	slow, err := api.Listen(t.Context(), &pb.ListenRequest{Names: []string{"$.*"}, MaxMessages: 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Recv(); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 100_000)
	for range 500 {
		if _, err := api.Send(t.Context(), &pb.SendRequest{Name: "$.Big", Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	stats := f.bus.Stats()
	if len(stats) != 1 || stats[0].Queued > 10 {
		t.Errorf("the slow client's queue: %+v", stats)
	}
	// The stream takes no more some time, and then the queue stays full.
	for err == nil {
		_, err = api.Send(t.Context(), &pb.SendRequest{Name: "$.Big", Data: data, Flags: []pb.Flag{pb.Flag_FLAG_ALL_OR_FAIL}})
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("all or fail beside a full listener: %v", err)
	}
}

// A listener is told how many messages it has missed, and the service keeps the sum when
// the stream has ended.
func TestMissedIsTold(t *testing.T) {
	f := serve(t)
	api := pb.NewBusServiceClient(f.api)
	ctx, cancel := context.WithCancel(t.Context())
	slow, err := api.Listen(ctx, &pb.ListenRequest{Names: []string{"$.*"}, MaxMessages: 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Recv(); err != nil {
		t.Fatal(err)
	}
	const sent = 500
	data := make([]byte, 100_000)
	for range sent {
		if _, err := api.Send(t.Context(), &pb.SendRequest{Name: "$.Big", Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	missed := f.service.Missed()
	if missed == 0 {
		t.Fatal("nothing was missed")
	}
	var told uint64
	for range sent - int(missed) {
		r, err := slow.Recv()
		if err != nil {
			t.Fatal(err)
		}
		told = r.GetMissed()
	}
	if told != missed {
		t.Errorf("the listener is told of %d, want %d", told, missed)
	}
	cancel()
	for { // until the handler has ended
		if _, err := slow.Recv(); err != nil {
			break
		}
	}
	if n := f.service.Missed(); n != missed {
		t.Errorf("%d missed afterwards, want %d", n, missed)
	}
}

// What a listener misses counts from the moment at which it may know that it listens.
func TestMissedFromTheStart(t *testing.T) {
	f := serve(t)
	k, err := f.bus.Open(kbusdev.WriteOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	first := func() error {
		for range 3 {
			if _, err := k.Send(t.Context(), &kbusdev.Message{Name: "$.A"}); err != nil {
				t.Error(err)
			}
		}
		if n := f.service.Missed(); n != 2 {
			t.Errorf("%d missed, want 2", n)
		}
		return io.EOF
	}
	stream := &grpc.GenericServerStream[struct{}, pb.ListenResponse]{ServerStream: answers{silent{ctx: t.Context()}, first}}
	if err := f.service.Listen(&pb.ListenRequest{Names: []string{"$.A"}, MaxMessages: 1}, stream); !errors.Is(err, io.EOF) {
		t.Errorf("Listen: %v", err)
	}
}

// answers is a stream that calls a function with each answer.
type answers struct {
	silent
	answer func() error
}

func (s answers) SendMsg(any) error { return s.answer() }

// A request carries the deadline of its call.
func TestCallsDeadlineGoesWithTheRequest(t *testing.T) {
	f := serve(t)
	k, err := f.bus.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := k.Bind("$.Ask", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = pb.NewBusServiceClient(f.api).Call(ctx, &pb.CallRequest{Name: "$.Ask"})
	}()
	q, err := k.Recv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(q.Expires); left <= 50*time.Minute || left > time.Hour {
		t.Errorf("the request expires in %v, want in an hour", left)
	}
	cancel()
	<-ended
}
