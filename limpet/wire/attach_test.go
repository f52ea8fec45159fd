package wire_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// someOperations are of every action, in every place.
func someOperations() *program.OperationBatch {
	b := &program.OperationBatch{First: 5, Ack: math.MaxUint64}
	plain := program.Operation{Action: program.Send, Wait: true, Msg: kbusdev.Message{Name: "$.A", Data: []byte("x"), Flags: kbusdev.AllOrWait}}
	b.Messages = append(b.Messages, plain, plain)
	for a := program.Send; a <= program.LastAction; a++ {
		op := program.Operation{Tag: uint64(a), Value: math.MaxUint64, Action: a, Role: a%2 == 0, Wait: a%3 == 0, Msg: kbusdev.Message{Name: "$.\xff", Data: []byte("data")}}
		if a == program.Send {
			op.Msg = event(kbusdev.BindEvent{Bound: true, Binder: 5, Name: "$.B.%"})
		}
		b.Messages = append(b.Messages, op)
		if a%4 == 0 {
			b.Messages = append(b.Messages, plain)
		}
	}
	once := plain // tried once
	once.Wait = false
	b.Messages = append(b.Messages, once)
	return b
}

func someEvents() *program.EventBatch {
	full := &program.Result{
		Tag: math.MaxUint64, Errno: "EIO", Op: "send", Name: "$.A", Message: "it is broken", ID: kbusdev.MsgID{Network: 1, Serial: math.MaxUint32},
		Value: math.MaxUint64, Found: true, Data: []byte("data"), Given: math.MaxUint64,
	}
	m := program.Event{Msg: kbusdev.Message{Name: "$.A", Data: []byte("x"), From: 3}}
	return &program.EventBatch{First: 7, Ack: 3, Messages: []program.Event{{Result: full}, m, m, {Result: &program.Result{Tag: 1}}, {Result: full}, m, {Result: full}}}
}

func overRequest(t testing.TB, f link.Frame) (link.Frame, error) {
	t.Helper()
	b, err := proto.Marshal(wire.RequestToProto(f, now))
	if err != nil {
		t.Fatal(err)
	}
	in := new(pb.AttachRequest)
	if err := proto.Unmarshal(b, in); err != nil {
		t.Fatal(err)
	}
	return wire.RequestFromProto(in, now)
}

func overResponse(t testing.TB, f link.Frame) (link.Frame, error) {
	t.Helper()
	b, err := proto.Marshal(wire.ResponseToProto(f, 9, now))
	if err != nil {
		t.Fatal(err)
	}
	in := new(pb.AttachResponse)
	if err := proto.Unmarshal(b, in); err != nil {
		t.Fatal(err)
	}
	if batch := in.GetBatch(); batch != nil && batch.GetMissed() != 9 {
		t.Errorf("missed is %d", batch.GetMissed())
	}
	return wire.ResponseFromProto(in, now)
}

func TestProgramsFramesCrossUnchanged(t *testing.T) {
	others := []link.Frame{&link.Ack{Sequence: math.MaxUint64}, &link.Ping{Received: 5}, &link.Error{Code: link.Expired, Message: "over", Remote: true}, &link.Unknown{}}
	for _, f := range append(others, someOperations()) {
		got, err := overRequest(t, f)
		if diff := cmp.Diff(f, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%T: %v\n%s", f, err, diff)
		}
	}
	for _, f := range append(others, someEvents()) {
		got, err := overResponse(t, f)
		if diff := cmp.Diff(f, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%T: %v\n%s", f, err, diff)
		}
	}
}

func TestHellosCrossUnchanged(t *testing.T) {
	for _, mode := range []kbusdev.Mode{kbusdev.ReadOnly, kbusdev.WriteOnly, kbusdev.ReadWrite} {
		for _, session := range []link.SessionID{{}, {7}} {
			h := &program.Hello{Version: program.ProtocolVersion, Features: []string{"x"}, Mode: mode, Session: session, Expected: 1, WindowMessages: 3, WindowBytes: 1 << 40}
			if session != (link.SessionID{}) {
				h.Instance, h.Expected = link.InstanceID{9}, math.MaxUint64
			}
			got, err := wire.HelloFromProto(wire.HelloToProto(h))
			if diff := cmp.Diff(h, got); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		}
	}
	w := &program.Welcome{
		Version: program.ProtocolVersion, Features: []string{"x"}, Session: link.SessionID{1}, Instance: link.InstanceID{2}, Expected: 3, Ksock: 4,
		WindowMessages: 5, WindowBytes: 6, GraceMs: 7, MaxMessageSize: 8,
	}
	got, err := wire.WelcomeFromProto(wire.WelcomeToProto(w))
	if diff := cmp.Diff(w, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// What cannot be is refused by name.
func TestBadFramesOfPrograms(t *testing.T) {
	hello := func(change func(*pb.AttachHello)) *pb.AttachRequest {
		r := wire.HelloToProto(&program.Hello{Version: 1, Mode: kbusdev.ReadWrite, Expected: 1, WindowMessages: 1, WindowBytes: 1})
		change(r.GetHello())
		return r
	}
	for _, c := range []struct {
		request *pb.AttachRequest
		words   string
	}{
		{hello(func(h *pb.AttachHello) { h.ProtocolVersion = 2 }), "speaks version 2"},
		{hello(func(h *pb.AttachHello) { h.Mode = 4 }), "the mode of a Ksock"},
		{hello(func(h *pb.AttachHello) { h.SessionId = []byte("short") }), "a session id of 5 bytes"},
		{hello(func(h *pb.AttachHello) { h.SessionId = make([]byte, 16) }), "an instance id of 0"},
		{hello(func(h *pb.AttachHello) { h.ExpectedSequence = 2 }), "sequence number 2 is expected"},
		{hello(func(h *pb.AttachHello) { h.WindowBytes = 0 }), "takes nothing"},
		{hello(func(h *pb.AttachHello) { h.Features = make([]string, 65) }), "65 features"},
		{hello(func(h *pb.AttachHello) { h.Features = []string{strings.Repeat("x", 65)} }), "name has 65 bytes"},
		{&pb.AttachRequest{}, "must be a hello"},
	} {
		_, err := wire.HelloFromProto(c.request)
		var verdict *link.Error
		if !errors.As(err, &verdict) || !strings.Contains(verdict.Message, c.words) {
			t.Errorf("%v, want %q", err, c.words)
		}
	}
	batch := func(b *pb.OperationBatch) *pb.AttachRequest {
		return &pb.AttachRequest{Kind: &pb.AttachRequest_Batch{Batch: b}}
	}
	two := []*pb.Message{{}, {}}
	for _, c := range []struct {
		request *pb.AttachRequest
		words   string
	}{
		{batch(&pb.OperationBatch{Messages: make([]*pb.Message, 200), Operations: make([]*pb.Operation, 57)}), "a batch of 257"},
		{batch(&pb.OperationBatch{Messages: two, Operations: []*pb.Operation{{After: 2}, {After: 1}}}), "to stand after 1"},
		{batch(&pb.OperationBatch{Messages: two, Operations: []*pb.Operation{{After: 3}}}), "to stand after 3"},
		{batch(&pb.OperationBatch{Messages: two, Operations: []*pb.Operation{{After: math.MaxUint32}}}), "to stand after 4294967295"},
		{batch(&pb.OperationBatch{Messages: []*pb.Message{nil}}), "empty message"},
		{wire.HelloToProto(&program.Hello{}), "a second hello"},
	} {
		_, err := wire.RequestFromProto(c.request, now)
		var verdict *link.Error
		if !errors.As(err, &verdict) || verdict.Code != link.Protocol || !strings.Contains(verdict.Message, c.words) {
			t.Errorf("%v, want %q", err, c.words)
		}
	}
}

// What a session takes for the size of a batch is a bound: it does not fall into the next
// size of gRPC's buffers, 32 KiB.
func TestMeasuresOfProgramsAreBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	cfg := link.SessionConfig{WindowMessages: 1 << 20, WindowBytes: 1 << 30}
	operations, events := program.NewSession(cfg), program.NewDaemonSession(cfg)
	for _, err := range []error{operations.Attach(now, 1), events.Attach(now, 1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	text := func() string { return strings.Repeat("t", r.IntN(1000)>>r.IntN(10)) }
	for range 20000 {
		m := largest(1+r.IntN(1000)>>r.IntN(10), r.IntN(32000)>>r.IntN(16))
		op := program.Operation{Msg: m, Action: program.Send, Tag: math.MaxUint64 * uint64(r.IntN(2)), Value: math.MaxUint64, Role: true, Wait: true}
		if r.IntN(3) == 0 {
			op.Action = program.Bind
		}
		operations.Put(now, link.Normal, &link.OutgoingOf[program.Operation]{Msg: op})
		ev := program.Event{Msg: m}
		if r.IntN(2) == 0 {
			ev.Result = &program.Result{
				Tag: math.MaxUint64, Errno: text(), Op: text(), Name: text(), Message: text(), ID: m.ID, Value: math.MaxUint64, Found: true, Data: m.Data, Given: math.MaxUint64,
			}
		}
		events.Put(now, link.Normal, &link.OutgoingOf[program.Event]{Msg: ev})
	}
	for f, _, _ := operations.Next(now); f != nil; f, _, _ = operations.Next(now) {
		p := wire.RequestToProto(f, now)
		if n := proto.Size(p); len(f.(*program.OperationBatch).Messages) > 1 && n > 32<<10 {
			t.Fatalf("a batch takes %d bytes", n)
		}
	}
	for f, _, _ := events.Next(now); f != nil; f, _, _ = events.Next(now) {
		p := wire.ResponseToProto(f, math.MaxUint64, now)
		if n := proto.Size(p); len(f.(*program.EventBatch).Messages) > 1 && n > 32<<10 {
			t.Fatalf("a batch takes %d bytes", n)
		}
	}
}

// Every action of the protocol has a name in program, and the same number.
func TestActionsAreTheProtocols(t *testing.T) {
	if n := len(pb.Action_name) - 1; n != int(program.LastAction) || pb.Action_ACTION_WITHDRAW != pb.Action(program.Withdraw) || pb.Action_ACTION_CLOSE != pb.Action(program.Close) || pb.Action_ACTION_READ != pb.Action(program.Read) {
		t.Errorf("%d actions in the protocol, %d here", n, program.LastAction)
	}
}

// Whatever comes is a frame or an error, and a frame that came crosses unchanged again.
func FuzzProgramsFrames(f *testing.F) {
	for _, m := range []proto.Message{
		wire.RequestToProto(someOperations(), now), wire.ResponseToProto(someEvents(), 1, now),
		wire.HelloToProto(&program.Hello{Version: 1, Mode: kbusdev.ReadWrite, Expected: 1, WindowMessages: 1, WindowBytes: 1}),
		wire.WelcomeToProto(&program.Welcome{Version: 1, Session: link.SessionID{1}, Ksock: 1, WindowMessages: 1, WindowBytes: 1}),
		wire.RequestToProto(&link.Error{Code: link.Protocol, Message: "x"}, now),
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if in := new(pb.AttachRequest); proto.Unmarshal(b, in) == nil {
			if h, err := wire.HelloFromProto(in); err == nil {
				if again, err := wire.HelloFromProto(wire.HelloToProto(h)); err != nil || !cmp.Equal(h, again, cmpopts.EquateEmpty()) {
					t.Errorf("%v\n%s", err, cmp.Diff(h, again))
				}
			}
			if x, err := wire.RequestFromProto(in, now); err == nil {
				if again, err := overRequest(t, x); err != nil || !cmp.Equal(x, again, cmpopts.EquateEmpty()) {
					t.Errorf("%v\n%s", err, cmp.Diff(x, again))
				}
			}
		}
		if in := new(pb.AttachResponse); proto.Unmarshal(b, in) == nil {
			_, _ = wire.WelcomeFromProto(in)
			if b := in.GetBatch(); b != nil {
				b.Missed = 9
			}
			if x, err := wire.ResponseFromProto(in, now); err == nil {
				if again, err := overResponse(t, x); err != nil || !cmp.Equal(x, again, cmpopts.EquateEmpty()) {
					t.Errorf("%v\n%s", err, cmp.Diff(x, again))
				}
			}
		}
	})
}
