package bus_test

import (
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/server/bus"
)

// When programs leave too much that they do not take, the one that has most is ended, and
// told why; the others go on, with or without a stream.
func TestProgramsThatHoldTooMuch(t *testing.T) {
	f := serveWith(t, bus.WithProgramBytes(1<<20), bus.WithProgramGrace(time.Hour))
	sender, err := f.bus.Open(kbusdev.WriteOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	// hears attaches a program, and sends it so much that it does not acknowledge.
	hears := func(name string, bytes int) *rawProgram {
		p := newRawProgram(t, f)
		p.do(op(1, pb.Action_ACTION_BIND, named(name)), op(0, pb.Action_ACTION_STREAM, valued(1)))
		p.want("1")
		for range bytes / 10_000 {
			if _, err := sender.Send(t.Context(), &kbusdev.Message{Name: name, Data: make([]byte, 10_000)}); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	little, away := hears("$.Little", 200_000), hears("$.Away", 200_000)
	for len(little.events) < 20 || len(away.events) < 20 { // the session holds it then
		for _, p := range []*rawProgram{little, away} {
			if len(p.events) < 20 {
				if _, err := p.recv(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	away.cut()
	much := hears("$.Much", 900_000)
	var last *pb.Error
	for err = nil; err == nil; {
		var r *pb.AttachResponse
		if r, err = much.recv(); r.GetError() != nil {
			last = r.GetError()
		}
	}
	if last.GetCode() != pb.ErrorCode_ERROR_CODE_STALLED || status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the one that holds most is told %v, and its stream ends with %v", last, err)
	}
	if n := f.service.Reached()["bytes of attached programs"]; n != 1 {
		t.Errorf("%d are counted", n)
	}
	little.do(op(2, pb.Action_ACTION_POLL))
	for little.events[len(little.events)-1] != "2" {
		if _, err := little.recv(); err != nil {
			t.Fatal(err)
		}
	}
	away.attach()
	if n := len(f.bus.Stats()); n != 3 {
		t.Errorf("%d Ksocks are open, want those of the sender and of two programs", n)
	}
}

// Programs have a bound of names, one of them half of it; what one gives back another may
// have.
func TestNamesOfPrograms(t *testing.T) {
	f := serveWith(t, bus.WithNames(6), bus.WithProgramGrace(0))
	bindOp := func(tag uint64, name string) *pb.Operation { return op(tag, pb.Action_ACTION_BIND, named(name)) }
	a, b, c := newRawProgram(t, f), newRawProgram(t, f), newRawProgram(t, f)
	a.do(bindOp(1, "$.A"), bindOp(2, "$.B"), bindOp(3, "$.C"), bindOp(4, "$.D"), op(5, pb.Action_ACTION_UNBIND, named("$.A")), bindOp(6, "$.E"))
	a.want("1", "2", "3", "4:ENOLCK", "5", "6")
	b.do(bindOp(1, "$.A"), bindOp(2, "$.B"))
	b.want("1", "2")
	listen := func(names ...string) (grpc.ServerStreamingClient[pb.ListenResponse], error) {
		s, err := pb.NewBusServiceClient(f.api).Listen(t.Context(), &pb.ListenRequest{Names: names})
		if err == nil {
			_, err = s.Recv()
		}
		return s, err
	}
	if _, err := listen("$.A", "$.B"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("two names where there is room for one: %v", err)
	}
	if _, err := listen("$.A"); err != nil {
		t.Error(err)
	}
	c.do(bindOp(1, "$.A"))
	c.want("1:ENOLCK")
	a.do(op(7, pb.Action_ACTION_CLOSE))
	a.want("7")
	a.cut()
	for bound := false; !bound; { // once the daemon has noticed
		c.do(bindOp(2, "$.A"))
		for len(c.events) == 0 {
			if _, err := c.recv(); err != nil {
				t.Fatal(err)
			}
		}
		bound, c.events = c.events[0] == "2", nil
	}
}
