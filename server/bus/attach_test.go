package bus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A rawProgram speaks Attach by hand.
type rawProgram struct {
	t        *testing.T
	api      pb.BusServiceClient
	stream   grpc.BidiStreamingClient[pb.AttachRequest, pb.AttachResponse]
	cut      context.CancelFunc
	welcome  *pb.AttachWelcome
	sent     uint64 // operations
	received uint64 // events
	events   []string
}

func newRawProgram(t *testing.T, f *fixture) *rawProgram {
	p := &rawProgram{t: t, api: pb.NewBusServiceClient(f.api)}
	p.attach()
	return p
}

// hello returns what the program says first.
func (p *rawProgram) hello() *pb.AttachHello {
	h := &pb.AttachHello{ProtocolVersion: 1, Mode: pb.KsockMode_KSOCK_MODE_BOTH, ExpectedSequence: p.received + 1, WindowMessages: 100, WindowBytes: 1 << 20}
	if p.welcome != nil {
		h.SessionId, h.InstanceId = p.welcome.GetSessionId(), p.welcome.GetInstanceId()
	}
	return h
}

// dial opens a stream and says hello, and returns the first answer.
func (p *rawProgram) dial() (*pb.AttachResponse, error) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	p.t.Cleanup(cancel)
	p.cut = cancel
	var err error
	if p.stream, err = p.api.Attach(ctx); err != nil {
		p.t.Fatal(err)
	}
	if err := p.stream.Send(&pb.AttachRequest{Kind: &pb.AttachRequest_Hello{Hello: p.hello()}}); err != nil {
		p.t.Fatal(err)
	}
	return p.stream.Recv()
}

func (p *rawProgram) attach() {
	p.t.Helper()
	r, err := p.dial()
	if err != nil || r.GetWelcome() == nil {
		p.t.Fatalf("%v, %v instead of a welcome", r, err)
	}
	p.welcome = r.GetWelcome()
}

// do sends operations in a batch of their own.
func (p *rawProgram) do(ops ...*pb.Operation) {
	p.t.Helper()
	p.sendBatch(&pb.OperationBatch{FirstSequence: p.sent + 1, Operations: ops})
}

func (p *rawProgram) sendBatch(b *pb.OperationBatch) {
	p.t.Helper()
	p.sent += uint64(len(b.GetOperations()) + len(b.GetMessages()))
	if err := p.stream.Send(&pb.AttachRequest{Kind: &pb.AttachRequest_Batch{Batch: b}}); err != nil {
		p.t.Fatal(err)
	}
}

// recv takes one frame, and notes its events in words.
func (p *rawProgram) recv() (*pb.AttachResponse, error) {
	r, err := p.stream.Recv()
	b := r.GetBatch()
	if b == nil {
		return r, err
	}
	messages := b.GetMessages()
	for i, result := range b.GetResults() {
		for i+len(messages) > 0 && len(b.GetMessages())-len(messages) < int(result.GetAfter()) {
			p.events = append(p.events, messages[0].GetName())
			messages = messages[1:]
		}
		word := fmt.Sprintf("%d", result.GetTag())
		if result.GetErrno() != "" {
			word += ":" + result.GetErrno()
		}
		if result.GetName() != "" {
			word += " " + result.GetName()
		}
		p.events = append(p.events, word)
	}
	for _, m := range messages {
		p.events = append(p.events, m.GetName())
	}
	p.received += uint64(len(b.GetMessages()) + len(b.GetResults()))
	return r, err
}

// want waits for so many events as there are words, and compares.
func (p *rawProgram) want(want ...string) {
	p.t.Helper()
	for len(p.events) < len(want) {
		if r, err := p.recv(); err != nil || r.GetError() != nil {
			p.t.Fatalf("%v, %v after %q, want %q", r, err, p.events, want)
		}
	}
	if fmt.Sprint(p.events) != fmt.Sprint(want) {
		p.t.Fatalf("got %q, want %q", p.events, want)
	}
	p.events = nil
}

// wantInAnyOrder is want for results of operations of which some may wait, so that
// nothing is promised of their order. want is sorted.
func (p *rawProgram) wantInAnyOrder(want ...string) {
	p.t.Helper()
	for len(p.events) < len(want) {
		if r, err := p.recv(); err != nil || r.GetError() != nil {
			p.t.Fatalf("%v, %v after %q, want %q", r, err, p.events, want)
		}
	}
	slices.Sort(p.events)
	p.want(want...)
}

// ends waits for the end of the stream, which an error frame or the status gives the words
// for, and returns the status.
func (p *rawProgram) ends(words string) error {
	p.t.Helper()
	said := ""
	for {
		r, err := p.recv()
		if err != nil {
			if !strings.Contains(said+err.Error(), words) {
				p.t.Errorf("the stream ends with %q and %v, want %q", said, err, words)
			}
			return err
		}
		if e := r.GetError(); e != nil {
			said = e.GetMessage()
		}
	}
}

func announcement(name string) *pb.Message { return &pb.Message{Name: name} }

func op(tag uint64, action pb.Action, change ...func(*pb.Operation)) *pb.Operation {
	o := &pb.Operation{Tag: tag, Action: action}
	for _, f := range change {
		f(o)
	}
	return o
}

func named(name string) func(*pb.Operation) {
	return func(o *pb.Operation) { o.Name = []byte(name) }
}

func valued(n uint64) func(*pb.Operation) { return func(o *pb.Operation) { o.Value = n } }

func waits(o *pb.Operation) { o.Wait = true }

func sends(name string, flags kbusdev.Flags) func(*pb.Operation) {
	return func(o *pb.Operation) { o.Message = &pb.Message{Name: name, Flags: uint32(flags)} }
}

func TestAttach(t *testing.T) {
	f := serve(t)
	p := newRawProgram(t, f)
	if w := p.welcome; w.GetKsock() != 1 || len(w.GetSessionId()) != 16 || w.GetExpectedSequence() != 1 || w.GetGraceMs() != 10000 || w.GetMaxMessageSize() != kbusdev.AbsoluteMaxMessageSize {
		t.Errorf("welcome %v", w)
	}
	p.do(
		op(1, pb.Action_ACTION_BIND, named("$.A")),
		op(0, pb.Action_ACTION_BIND, named("$.B.*")),
		op(2, pb.Action_ACTION_BIND, named("B")),
		op(3, pb.Action_ACTION_RECEIVE, valued(5)), // nothing yet
		op(0, pb.Action_ACTION_UNBIND, named("$.C")),
		op(4, 99),
	)
	p.want("1", "2:EBADMSG", "3", "0:EINVAL $.C", "4:ENOTTY")
	p.sendBatch(&pb.OperationBatch{
		FirstSequence: p.sent + 1, Messages: []*pb.Message{announcement("$.A"), announcement("$.B.x"), announcement("x"), announcement("$.A")},
		Operations: []*pb.Operation{{Tag: 5, After: 2, Action: pb.Action_ACTION_NUM_MESSAGES}, {Tag: 6, After: 4, Action: pb.Action_ACTION_RECEIVE, Value: 2}, {Tag: 7, After: 4, Action: pb.Action_ACTION_RECEIVE, Value: 9}},
	})
	p.want("5", "0:EBADMSG x", "$.A", "$.B.x", "6", "$.A", "7")
}

// A name that is no text is refused as any other, and does not break the stream.
func TestNameThatIsNoText(t *testing.T) {
	p := newRawProgram(t, serve(t))
	p.do(op(0, pb.Action_ACTION_BIND, named("$.\xff")), op(1, pb.Action_ACTION_BIND, named("\xff")), op(2, pb.Action_ACTION_POLL))
	p.want("0:EBADMSG $.?", "1:EBADMSG", "2")
}

// A result takes no more memory than what was read, however much was asked for.
func TestReadTakesNoMore(t *testing.T) {
	f := serve(t)
	p := newRawProgram(t, f)
	p.do(op(0, pb.Action_ACTION_BIND, named("$.A")), op(0, pb.Action_ACTION_SEND, sends("$.A", 0)), op(1, pb.Action_ACTION_NEXT), op(2, pb.Action_ACTION_READ, valued(10)))
	p.want("1", "2")
	allocated := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	before := allocated()
	for i := range uint64(50) {
		p.do(op(3+i, pb.Action_ACTION_READ, valued(1<<40)))
		p.want(fmt.Sprint(3 + i))
	}
	if n := allocated() - before; n > 50<<16 {
		t.Errorf("%d bytes to read %d", n, 100)
	}
}

// A receive that waits, and a send that waits, hold up only their own kind.
func TestWhatWaits(t *testing.T) {
	f := serve(t)
	full, err := f.bus.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, err := range []error{full.Bind("$.Full", kbusdev.Listener), func() error { _, err := full.MaxMessages(1); return err }()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p := newRawProgram(t, f)
	p.do(
		op(1, pb.Action_ACTION_RECEIVE, waits),
		op(2, pb.Action_ACTION_RECEIVE, waits),
		op(3, pb.Action_ACTION_RECEIVE, waits),
		op(4, pb.Action_ACTION_SEND, waits, sends("$.Full", kbusdev.AllOrWait)), // fills it
		op(5, pb.Action_ACTION_SEND, waits, sends("$.Full", kbusdev.AllOrWait)),
		op(6, pb.Action_ACTION_SEND, sends("$.Else", 0)),
		op(7, pb.Action_ACTION_FLUSH),
		op(8, pb.Action_ACTION_SEND, sends("$.Full", kbusdev.AllOrWait)), // tried once
		op(9, pb.Action_ACTION_BIND, named("$.A")),
		op(10, pb.Action_ACTION_CANCEL, valued(2)),
		op(11, pb.Action_ACTION_POLL),
	)
	p.wantInAnyOrder("10", "11", "2", "4", "9")
	if _, err := full.Recv(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.want("5", "6", "7", "8:EAGAIN")
	p.do(op(12, pb.Action_ACTION_SEND, waits, sends("$.Full", kbusdev.AllOrWait)), op(13, pb.Action_ACTION_SEND, sends("$.A", 0)), op(14, pb.Action_ACTION_CANCEL, valued(12)), op(0, pb.Action_ACTION_CANCEL, valued(99)))
	var got []string
	for len(got) < 5 {
		if _, err := p.recv(); err != nil {
			t.Fatal(err)
		}
		got, p.events = append(got, p.events...), nil
	}
	slices.Sort(got) // the receive is answered by another goroutine
	if want := []string{"$.A", "1", "12:EAGAIN", "13", "14"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What has stood behind an operation is performed when that has waited long enough, without
// the program saying anything more.
func TestWhatStandsBehind(t *testing.T) {
	f := serve(t)
	p := newRawProgram(t, f)
	p.do(op(0, pb.Action_ACTION_BIND, named("$.A")), op(1, pb.Action_ACTION_RECEIVE, waits), op(2, pb.Action_ACTION_RECEIVE, waits), op(3, pb.Action_ACTION_POLL))
	p.want("3")
	sender, err := f.bus.Open(kbusdev.WriteOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	for i := range 2 {
		if _, err := sender.Send(t.Context(), &kbusdev.Message{Name: "$.A"}); err != nil {
			t.Fatal(err)
		}
		p.want("$.A", fmt.Sprint(i+1))
	}
}

// A program that leaves results unacknowledged has no more operations performed until it
// acknowledges some.
func TestAckMakesRoom(t *testing.T) {
	p := newRawProgram(t, serve(t))
	const most = 1 << 20 / 64 // results of 64 bytes in the window
	polls := slices.Repeat([]*pb.Operation{op(1, pb.Action_ACTION_POLL)}, 64)
	for p.sent < most+64 {
		p.do(polls...)
		for p.received < min(p.sent, most) {
			if _, err := p.recv(); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.events = nil
	if err := p.stream.Send(&pb.AttachRequest{Kind: &pb.AttachRequest_Ack{Ack: &pb.Ack{Sequence: most}}}); err != nil {
		t.Fatal(err)
	}
	p.want(slices.Repeat([]string{"1"}, 64)...)
	if p.received != most+64 {
		t.Errorf("%d results", p.received)
	}
}

// A stream that breaks leaves the session; the next one has what the program has not
// received.
func TestResume(t *testing.T) {
	f := serve(t)
	p := newRawProgram(t, f)
	p.do(op(1, pb.Action_ACTION_BIND, named("$.A")), op(2, pb.Action_ACTION_STREAM, valued(1)))
	p.want("1", "2")
	p.cut()
	sender, err := f.bus.Open(kbusdev.WriteOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	for range 3 {
		if _, err := sender.Send(t.Context(), &kbusdev.Message{Name: "$.A"}); err != nil {
			t.Fatal(err)
		}
	}
	p.received-- // the result of the stream has been lost
	p.attach()
	p.want("2", "$.A", "$.A", "$.A")
	if n := p.welcome.GetExpectedSequence(); n != 3 {
		t.Errorf("the daemon expects %d", n)
	}
	// A second stream takes the first one's place.
	q := *p
	q.attach()
	p.ends("takes this one's place")
	q.do(op(3, pb.Action_ACTION_LAST_SENT))
	q.want("3")
}

// What the program owes is answered when its session is over: at once when it has closed
// the Ksock, or if there is no grace; else after the grace.
func TestSessionsEnd(t *testing.T) {
	for _, c := range []struct {
		name    string
		closing bool
		grace   time.Duration
		words   string
	}{
		{"closed", true, time.Hour, "no stream came within the grace of 1h"},
		{"no grace", false, 0, "no stream came within the grace of 0s"},
		{"grace", false, 20 * time.Millisecond, "no stream came within the grace of 20ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := serve(t, c.grace)
			p := newRawProgram(t, f)
			p.do(op(1, pb.Action_ACTION_BIND, named("$.A"), func(o *pb.Operation) { o.IsReplier = true }))
			p.want("1")
			asker, err := f.bus.Open(kbusdev.ReadWrite)
			if err != nil {
				t.Fatal(err)
			}
			defer asker.Close()
			if _, err := asker.Send(t.Context(), &kbusdev.Message{Name: "$.A", Flags: kbusdev.WantReply}); err != nil {
				t.Fatal(err)
			}
			p.do(op(2, pb.Action_ACTION_RECEIVE))
			p.want("$.A", "2")
			if c.closing {
				p.do(op(3, pb.Action_ACTION_CLOSE))
				p.want("3")
				if err := p.stream.CloseSend(); err != nil {
					t.Fatal(err)
				}
				if err := p.ends(""); !errors.Is(err, io.EOF) {
					t.Errorf("the stream ends with %v", err)
				}
			} else {
				p.cut()
			}
			m, err := asker.Recv(t.Context())
			if err != nil || m.Name != kbusdev.NameReplierIgnored {
				t.Fatalf("%v, %v", m, err)
			}
			if r, err := p.dial(); err != nil || r.GetError().GetCode() != pb.ErrorCode_ERROR_CODE_EXPIRED || !strings.Contains(r.GetError().GetMessage(), c.words) {
				t.Errorf("%v, %v, want %q", r, err, c.words)
			}
			if err := p.ends(""); status.Code(err) != codes.NotFound {
				t.Errorf("the stream ends with %v", err)
			}
			p.welcome.InstanceId = make([]byte, 16)
			if r, err := p.dial(); err != nil || !strings.Contains(r.GetError().GetMessage(), "it was restarted") {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
}

// The end of the service ends the sessions, and says why.
func TestServiceCloseEndsSessions(t *testing.T) {
	f := serve(t)
	p, q := newRawProgram(t, f), newRawProgram(t, f)
	q.cut()
	p.do(op(1, pb.Action_ACTION_RECEIVE, waits))
	done := make(chan struct{})
	go func() { f.service.Close(); close(done) }()
	if err := p.ends("the daemon is stopping"); !errors.Is(err, io.EOF) && status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ends with %v", err)
	}
	<-done
	if n := len(f.bus.Stats()); n != 0 {
		t.Errorf("%d Ksocks are left", n)
	}
}
