package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// someProgramsBatches are of messages only, and with something else now and then.
func someProgramsBatches(r *rand.Rand) (*program.OperationBatch, *program.EventBatch) {
	b := someBatch(r)
	operations := &program.OperationBatch{First: b.First, Ack: b.Ack}
	events := &program.EventBatch{First: b.First, Ack: b.Ack}
	others := r.IntN(4)
	for _, m := range b.Messages {
		op, e := program.Operation{Action: program.Send, Wait: true, Msg: m}, program.Event{Msg: m}
		if r.IntN(3) < others {
			op, e = someOperation(r, m), program.Event{Result: someResult(r, m.Data)}
		}
		operations.Messages, events.Messages = append(operations.Messages, op), append(events.Messages, e)
	}
	return operations, events
}

func someOperation(r *rand.Rand, m kbusdev.Message) program.Operation {
	op := program.Operation{
		Tag: r.Uint64() >> r.IntN(64) * uint64(r.IntN(3)), Action: program.Action(r.IntN(int(program.LastAction) + 1)),
		Value: r.Uint64() >> r.IntN(64) * uint64(r.IntN(2)), Role: kbusdev.Role(r.IntN(2) == 0), Wait: r.IntN(2) == 0,
	}
	switch {
	case op.Action == program.Send:
		op.Msg = m
	case r.IntN(2) == 0:
		op.Msg.Name, op.Msg.Data = m.Name, m.Data
	}
	return op
}

func someResult(r *rand.Rand, data []byte) *program.Result {
	text := func() string { return strings.Repeat("t", r.IntN(2)*r.IntN(200)) }
	number := func() uint64 { return r.Uint64() >> r.IntN(64) * uint64(r.IntN(2)) }
	out := &program.Result{Tag: number(), ID: kbusdev.MsgID{Network: uint32(number()), Serial: uint32(number())}, Value: number(), Found: r.IntN(2) == 0, Given: number()}
	if r.IntN(2) == 0 {
		out.Errno, out.Op, out.Name, out.Message = text(), text(), text(), text()
	}
	if r.IntN(3) == 0 {
		out.Data = data
	}
	return out
}

// A program's and a daemon's batches have the bytes that protobuf gives them.
func TestMarshalOfProgramsIsProtobuf(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		operations, events := someProgramsBatches(r)
		missed := r.Uint64() >> r.IntN(64)
		for _, c := range []struct {
			out  *outgoingOfProgram
			want proto.Message
		}{
			{&outgoingOfProgram{frame: operations, request: true, now: at}, RequestToProto(operations, at)},
			{&outgoingOfProgram{frame: events, missed: missed, now: at}, ResponseToProto(events, missed, at)},
		} {
			got, err := Codec.Marshal(c.out)
			if err != nil {
				t.Fatal(err)
			}
			want, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.want)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(whole(got), want) {
				t.Fatalf("%T: %v\nwant\n%v", c.want, whole(got), want)
			}
			got.Free()
		}
	}
}

// Whatever comes is decoded as protobuf, RequestFromProto and ResponseFromProto do.
func FuzzReceiveOfPrograms(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 20 {
		operations, events := someProgramsBatches(r)
		for _, out := range []*outgoingOfProgram{{frame: operations, request: true, now: at}, {frame: events, missed: 5, now: at}} {
			if s, _ := Codec.Marshal(out); s.Len() < 2000 {
				f.Add(whole(s))
			}
		}
	}
	for _, s := range []string{"", "\x12\x00", "\x12\x02\x12\x00", "\x12\x02\x12\x01", "\x12\x02\x08\x05\x12\x00", "\x12\x02\x28\x07", "\x12\x04\x12\x02\x62\xff", "\x0a\x00", "\x12\x04\x22\x02\x08\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(got, want link.Frame, err, wantErr error) {
			t.Helper()
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("%v, want %v", err, wantErr)
			}
			if diff := difference(want, got); diff != "" {
				t.Fatal(diff)
			}
		}
		var want link.Frame
		request, response := new(pb.AttachRequest), new(pb.AttachResponse)
		wantErr := proto.Unmarshal(b, request)
		if wantErr == nil {
			want, wantErr = RequestFromProto(request, at)
		}
		var q RequestReceiver
		err := Codec.Unmarshal(in(b, 2), &q)
		if err == nil {
			err = q.err
		}
		same(q.frame, want, err, wantErr)
		want = nil
		if wantErr = proto.Unmarshal(b, response); wantErr == nil {
			want, wantErr = ResponseFromProto(response, at)
		}
		var p ResponseReceiver
		if err = Codec.Unmarshal(in(b, 2), &p); err == nil {
			err = p.err
		}
		same(p.frame, want, err, wantErr)
		if wantErr == nil && p.missed != response.GetBatch().GetMissed() {
			t.Fatalf("missed is %d, want %d", p.missed, response.GetBatch().GetMissed())
		}
	})
}

// A program's batch of too many parts is refused before it takes memory, also if they are
// not messages.
func TestManyParts(t *testing.T) {
	messages, operations := make([]*pb.Message, 200_000), make([]*pb.Operation, 200_000)
	for i := range messages {
		messages[i], operations[i] = new(pb.Message), new(pb.Operation)
	}
	for _, b := range []*pb.OperationBatch{{Messages: messages}, {Operations: operations}} {
		many, err := proto.Marshal(&pb.AttachRequest{Kind: &pb.AttachRequest_Batch{Batch: b}})
		if err != nil {
			t.Fatal(err)
		}
		var r RequestReceiver
		if n := testing.AllocsPerRun(1, func() { r.err = nil; err = Codec.Unmarshal(in(many, 1), &r) }); n > 20 {
			t.Errorf("%v allocations", n)
		}
		var verdict *link.Error
		if err != nil || r.frame != nil || !errors.As(r.err, &verdict) || verdict.Code != link.Protocol || !strings.Contains(verdict.Message, "a batch of 200000, at most") {
			t.Errorf("%v, %v", err, r.err)
		}
	}
}

// An operation with a tag takes no memory but for its name and data, a result its own.
func TestTaggedTakeLittleMemory(t *testing.T) {
	const n = 100
	operations, events := new(program.OperationBatch), new(program.EventBatch)
	for i := range n {
		operations.Messages = append(operations.Messages, program.Operation{Action: program.Send, Tag: uint64(i + 1), Msg: kbusdev.Message{Name: "$.Known"}})
		events.Messages = append(events.Messages, program.Event{Result: &program.Result{Tag: uint64(i + 1)}})
	}
	var q RequestReceiver
	var p ResponseReceiver
	for _, c := range []struct {
		out  *outgoingOfProgram
		into any
		most float64
	}{
		{&outgoingOfProgram{frame: operations, request: true, now: at}, &q, 10},
		{&outgoingOfProgram{frame: events, now: at}, &p, n + 10},
	} {
		if got := testing.AllocsPerRun(20, func() {
			out, _ := Codec.Marshal(c.out)
			if err := Codec.Unmarshal(out, c.into); err != nil || q.err != nil || p.err != nil {
				t.Fatal(err, q.err, p.err)
			}
			out.Free()
		}); got > c.most {
			t.Errorf("%T: %v allocations for %d, at most %v are right", c.into, got, n, c.most)
		}
	}
}
