package bus_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A program that breaks the protocol loses its stream, and is told why; its session goes on.
func TestProgramsThatBreakTheProtocol(t *testing.T) {
	f := serve(t)
	ack := func(n uint64) *pb.AttachRequest {
		return &pb.AttachRequest{Kind: &pb.AttachRequest_Ack{Ack: &pb.Ack{Sequence: n}}}
	}
	batch := func(b *pb.OperationBatch) *pb.AttachRequest {
		return &pb.AttachRequest{Kind: &pb.AttachRequest_Batch{Batch: b}}
	}
	for _, c := range []struct {
		name, words string
		requests    []*pb.AttachRequest
	}{
		{"ack of what was not sent", "acknowledgement of sequence number 7", []*pb.AttachRequest{ack(7)}},
		{"ping of what was not sent", "has received sequence number 9", []*pb.AttachRequest{{Kind: &pb.AttachRequest_Ping{Ping: &pb.Ping{ReceivedSequence: 9}}}}},
		{"a number left out", "starts with sequence number 2", []*pb.AttachRequest{batch(&pb.OperationBatch{FirstSequence: 2, Operations: make([]*pb.Operation, 1)})}},
		{"an empty batch", "a batch of 0", []*pb.AttachRequest{batch(&pb.OperationBatch{FirstSequence: 1})}},
		{"a long batch", "a batch of 257", []*pb.AttachRequest{batch(&pb.OperationBatch{FirstSequence: 1, Messages: make([]*pb.Message, 257)})}},
		{"disorder", "to stand after 1", []*pb.AttachRequest{batch(&pb.OperationBatch{FirstSequence: 1, Operations: []*pb.Operation{{After: 1}}})}},
		{"a second hello", "a second hello", []*pb.AttachRequest{{Kind: &pb.AttachRequest_Hello{}}}},
		{"too long a frame", "larger than max", []*pb.AttachRequest{batch(&pb.OperationBatch{FirstSequence: 1, Messages: []*pb.Message{{Data: make([]byte, 5<<20)}}})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // some sessions end a second later
			p := newRawProgram(t, f)
			for _, r := range c.requests {
				if err := p.stream.Send(r); err != nil {
					t.Fatal(err)
				}
			}
			p.ends(c.words)
			p.attach()
			p.do(op(1, pb.Action_ACTION_POLL))
			p.want("1")
		})
	}
}

// A garbler sends bytes as they are.
type garbler struct{}

func (garbler) Name() string { return "proto" }
func (garbler) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (garbler) Unmarshal(mem.BufferSlice, any) error { return nil }

var _ encoding.CodecV2 = garbler{}

func TestGarbage(t *testing.T) {
	f := serve(t)
	for _, bytes := range []string{"", "\x0a", "\xff\xff\xff", "\x0a\x00", "\x12\x00", "\x0a\x04\x08\x01\x22\x01"} {
		s, err := f.api.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, pb.BusService_Attach_FullMethodName, grpc.ForceCodecV2(garbler{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			err = s.RecvMsg(nil)
		}
		if status.Code(err) != codes.InvalidArgument && status.Code(err) != codes.Internal {
			t.Errorf("%q: %v", bytes, err)
		}
	}
	if n := len(f.bus.Stats()); n != 0 {
		t.Errorf("%d Ksocks were opened", n)
	}
}

// A program that goes on beyond the window, while what it wants cannot be done, is cut off
// before it takes much memory.
func TestProgramsOverrunTheWindow(t *testing.T) {
	f := serve(t)
	p := newRawProgram(t, f)
	ops := make([]*pb.Operation, 256)
	for i := range ops {
		ops[i] = op(uint64(i+1), pb.Action_ACTION_RECEIVE, waits)
	}
	b := &pb.OperationBatch{Operations: ops}
	for n := 0; ; n += len(ops) {
		b.FirstSequence = uint64(n + 1)
		if p.stream.Send(&pb.AttachRequest{Kind: &pb.AttachRequest_Batch{Batch: b}}) != nil {
			break // the reason comes with Recv
		}
	}
	p.ends("in flight")
}

// A program that never takes what comes of its operations makes the daemon keep no more
// than the window.
func TestProgramThatNeverAcknowledges(t *testing.T) {
	f := serve(t)
	p := newRawProgram(t, f)
	p.do(op(0, pb.Action_ACTION_BIND, named("$.A")), op(0, pb.Action_ACTION_MAX_MESSAGES, valued(1<<20)), op(0, pb.Action_ACTION_STREAM, valued(1)))
	sender, err := f.bus.Open(kbusdev.WriteOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	for range 5000 {
		if _, err := sender.Send(t.Context(), &kbusdev.Message{Name: "$.A"}); err != nil {
			t.Fatal(err)
		}
	}
	// The results of other operations come past the messages that nobody takes.
	p.do(op(1, pb.Action_ACTION_NUM_MESSAGES))
	for !slices.Contains(p.events, "1") {
		if _, err := p.recv(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.events); n > 100+256+1 {
		t.Errorf("%d events are in flight, the window is 100", n)
	}
}

// A program that says nothing at first, and one that says nothing more, are given up.
func TestSilentPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t)
		start := time.Now()
		s, err := pb.NewBusServiceClient(f.api).Attach(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Recv()
		if err == nil && r.GetError() != nil {
			_, err = s.Recv()
		}
		if waited := time.Since(start); waited < 5*time.Second || waited > 6*time.Second || !strings.Contains(err.Error(), "no hello within 5s") {
			t.Errorf("after %v: %v", waited, err)
		}
		p := newRawProgram(t, f)
		start = time.Now()
		p.ends("")
		if waited := time.Since(start); waited < 12*time.Second || waited > 14*time.Second {
			t.Errorf("cut off after %v", waited)
		}
		<-time.After(9 * time.Second) // of the bubble
		if n := len(f.bus.Stats()); n != 1 {
			t.Errorf("%d Ksocks within the grace", n)
		}
		<-time.After(2 * time.Second) // of the bubble
		if n := len(f.bus.Stats()); n != 0 {
			t.Errorf("%d Ksocks after the grace", n)
		}
	})
}

// So many sessions, and no more; each takes little memory. In a bubble, for these programs
// say nothing for longer than is allowed if the machine is slow.
func TestManySessions(t *testing.T) { synctest.Test(t, manySessions) }

func manySessions(t *testing.T) {
	f := serve(t, 0)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := heap()
	var all []*rawProgram
	for range 4096 {
		all = append(all, newRawProgram(t, f))
	}
	t.Logf("%d KiB a session, with its client", (heap()-before)/4096>>10)
	for range 1000 {
		p := &rawProgram{t: t, api: pb.NewBusServiceClient(f.api)}
		if r, err := p.dial(); r.GetError() == nil || !strings.Contains(r.GetError().GetMessage(), "4096 programs are attached already") {
			t.Fatalf("%v, %v", r, err)
		}
		p.cut()
	}
	all[0].do(op(1, pb.Action_ACTION_CLOSE))
	all[0].want("1")
	all[0].cut()
	for {
		p := &rawProgram{t: t, api: pb.NewBusServiceClient(f.api)}
		if r, err := p.dial(); r.GetWelcome() != nil && err == nil { // the daemon has noticed
			break
		}
	}
	if n := len(f.bus.Stats()); n != 4096 {
		t.Errorf("%d Ksocks", n)
	}
}
