package link_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A wire is one end of a stream in memory; the test holds the other.
type wire struct {
	toPeer   chan *pb.Frame
	fromPeer chan *pb.Frame
	ctx      context.Context
	cancel   context.CancelFunc
}

func newWire() *wire {
	w := &wire{toPeer: make(chan *pb.Frame), fromPeer: make(chan *pb.Frame, 64)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

func (w *wire) Send(f *pb.Frame) error {
	select {
	case w.toPeer <- f:
		return nil
	case <-w.ctx.Done():
		return io.ErrClosedPipe
	}
}

func (w *wire) Recv() (*pb.Frame, error) {
	select {
	case f, ok := <-w.fromPeer:
		if !ok {
			return nil, io.EOF
		}
		return f, nil
	case <-w.ctx.Done():
		return nil, io.ErrClosedPipe
	}
}

func (w *wire) CloseSend() error { return nil }
func (w *wire) Close()           { w.cancel() }

func config() link.Config {
	return link.Config{NetworkID: 1, Instance: link.InstanceID{1}, WindowMessages: 8, WindowBytes: 1000}
}

func hello(change ...func(*pb.Hello)) *pb.Frame {
	h := &pb.Hello{ProtocolVersion: 1, NetworkId: 2, InstanceId: make([]byte, 16), Pattern: "$.*", WindowMessages: 8, WindowBytes: 1000}
	for _, f := range change {
		f(h)
	}
	return &pb.Frame{Kind: &pb.Frame_Hello{Hello: h}}
}

func batch(first uint64, n int, change ...func(*pb.Batch)) *pb.Frame {
	b := &pb.Batch{FirstSequence: first}
	for i := range n {
		b.Messages = append(b.Messages, &pb.Message{IdNetwork: 2, IdSerial: uint32(i + 1), Name: "$.A"})
	}
	for _, f := range change {
		f(b)
	}
	return &pb.Frame{Kind: &pb.Frame_Batch{Batch: b}}
}

func ack(seq uint64) *pb.Frame { return &pb.Frame{Kind: &pb.Frame_Ack{Ack: &pb.Ack{Sequence: seq}}} }

// accept opens a session against a test peer that has said its hello.
func accept(t *testing.T, cfg link.Config) (*link.Session, *wire, chan error) {
	t.Helper()
	w := newWire()
	w.fromPeer <- hello()
	opened := make(chan *link.Session)
	go func() {
		s, err := link.Accept(context.Background(), w, cfg)
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	if f := <-w.toPeer; f.GetHello().GetNetworkId() != 1 {
		t.Fatalf("the answer to a hello is %v", f)
	}
	s := <-opened
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	return s, w, ended
}

func wantCode(t *testing.T, err error, code link.Code, words string) {
	t.Helper()
	var e *link.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, words) {
		t.Errorf("ended with %v, want %v about %q", err, link.CodeName(code), words)
	}
}

func TestBadHellosAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame *pb.Frame
		code  link.Code
		words string
	}{
		{"not a hello", batch(1, 1), link.Protocol, "first frame must be a hello"},
		{"an empty frame", &pb.Frame{}, link.Protocol, "first frame must be a hello"},
		{"version", hello(func(h *pb.Hello) { h.ProtocolVersion = 9 }), link.Version, "version 9"},
		{"network id 0", hello(func(h *pb.Hello) { h.NetworkId = 0 }), link.BadNetworkID, "--network-id"},
		{"our network id", hello(func(h *pb.Hello) { h.NetworkId = 1 }), link.SameNetworkID, "both ends have network id 1"},
		{"ourselves", hello(func(h *pb.Hello) { h.InstanceId[0] = 1 }), link.Loop, "itself"},
		{"instance id", hello(func(h *pb.Hello) { h.InstanceId = []byte("short") }), link.Protocol, "instance id of 5 bytes"},
		{"pattern", hello(func(h *pb.Hello) { h.Pattern = "hello" }), link.Protocol, `"hello" is not a name`},
		{"window", hello(func(h *pb.Hello) { h.WindowMessages = 0 }), link.Protocol, "takes nothing"},
		{"topology", hello(func(h *pb.Hello) { h.Topology = &pb.Topology{Networks: []*pb.Network{{NetworkId: 3}}} }), link.Protocol, "instance id of 0 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				w.fromPeer <- c.frame
				refused := make(chan error)
				go func() {
					_, err := link.Accept(context.Background(), w, config())
					refused <- err
				}()
				if f := <-w.toPeer; f.GetError().GetCode() != c.code || !strings.Contains(f.GetError().GetMessage(), c.words) {
					t.Errorf("the peer is told %v", f)
				}
				wantCode(t, <-refused, c.code, c.words)
			})
		})
	}
}

func TestNoHelloInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := link.Accept(context.Background(), newWire(), config())
		if err == nil || !strings.Contains(err.Error(), "no hello from the peer within 10s") || time.Since(start) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestRefusalByThePeerIsSeenByTheDialler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.fromPeer <- &pb.Frame{Kind: &pb.Frame_Error{Error: &pb.Error{Code: link.Clash, Message: "network id 1 belongs to another", NetworkId: 1}}}
		go func() { <-w.toPeer }()
		_, err := link.Dial(context.Background(), w, config())
		wantCode(t, err, link.Clash, "belongs to another")
		var e *link.Error
		if errors.As(err, &e) && (!e.Remote || !e.Refusal()) {
			t.Errorf("%+v is not a refusal by the peer", e)
		}
	})
}

// What a hostile peer may send after its hello, and how the link ends.
func TestBrokenProtocolEndsTheLink(t *testing.T) {
	for _, c := range []struct {
		name   string
		frames []*pb.Frame
		words  string
	}{
		{"second hello", []*pb.Frame{hello()}, "second hello"},
		{"sequence gap", []*pb.Frame{batch(1, 2), batch(4, 1)}, "sequence number 4, expected was 3"},
		{"sequence again", []*pb.Frame{batch(1, 2), batch(1, 1)}, "sequence number 1, expected was 3"},
		{"empty batch", []*pb.Frame{batch(1, 0)}, "without messages"},
		{"batch of too many", []*pb.Frame{batch(1, 65)}, "65 messages, at most 64"},
		{"batch of too much", []*pb.Frame{batch(1, 2, func(b *pb.Batch) { b.Messages[0].Data = make([]byte, 1<<18) })}, "at most 32768"},
		{"beyond the window in bytes", []*pb.Frame{batch(1, 1, func(b *pb.Batch) { b.Messages[0].Data = make([]byte, 2<<20) })}, "the window has room for 8 and 1000"},
		{"ack of the unsent", []*pb.Frame{ack(1)}, "only 0 were sent"},
		{"bad topology", []*pb.Frame{{Kind: &pb.Frame_Topology{Topology: &pb.Topology{Networks: []*pb.Network{{}}}}}}, "id 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, w, ended := accept(t, config())
				for _, f := range c.frames {
					w.fromPeer <- f
				}
				if f := <-w.toPeer; f.GetError().GetCode() != link.Protocol || !strings.Contains(f.GetError().GetMessage(), c.words) {
					t.Errorf("the peer is told %v", f)
				}
				wantCode(t, <-ended, link.Protocol, c.words)
			})
		})
	}
}

// A peer that takes nothing of what is acked still has bounded memory here.
func TestWindowInMessagesIsEnforced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, w, ended := accept(t, config())
		go func() {
			for seq := uint64(1); seq < 600*64; seq += 64 {
				select {
				case w.fromPeer <- batch(seq, 64):
				case <-w.ctx.Done():
					return
				}
			}
		}()
		go func() {
			for range w.toPeer {
				continue
			}
		}()
		wantCode(t, <-ended, link.Protocol, "the window has room for 8")
		synctest.Wait()
		close(w.toPeer)
	})
}

func TestUnknownFramesAreCountedAndIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w, ended := accept(t, config())
		w.fromPeer <- &pb.Frame{}
		synctest.Wait()
		if n := s.Stats().UnknownFrames; n != 1 {
			t.Errorf("%d unknown frames", n)
		}
		close(w.fromPeer)
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("the end of the stream is %v", err)
		}
	})
}

func outgoing(n int) []link.Outgoing {
	var out []link.Outgoing
	for i := range n {
		out = append(out, link.Outgoing{FromBus: true, Msg: kbusdev.Message{Name: "$.A", ID: kbusdev.MsgID{Network: 1, Serial: uint32(i + 1)}}})
	}
	return out
}

func TestWindowStopsSendAndAcksMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w, ended := accept(t, config())
		if n := s.Send(outgoing(10)); n != 8 {
			t.Fatalf("a window of 8 takes %d", n)
		}
		f := <-w.toPeer
		if b := f.GetBatch(); b.GetFirstSequence() != 1 || len(b.GetMessages()) != 8 {
			t.Fatalf("sent %v", f)
		}
		if s.Send(outgoing(1)) != 0 {
			t.Error("a full window takes more")
		}
		w.fromPeer <- ack(3)
		<-s.Room()
		if st := s.Stats(); st.Delivered != 3 || st.Unacked != 5 {
			t.Errorf("after an ack of 3: %+v", st)
		}
		if n := s.Send(outgoing(10)); n != 3 {
			t.Errorf("room for 3 takes %d", n)
		}
		// An answer to the peer's own request does not wait for the window.
		s.Answer(&link.Outgoing{Msg: kbusdev.Message{Name: "$.Answer"}})
		f = <-w.toPeer
		for n := len(f.GetBatch().GetMessages()); n < 4; n += len((<-w.toPeer).GetBatch().GetMessages()) {
			continue
		}
		w.cancel()
		<-ended
		if n := s.Undelivered(); n != 8 {
			t.Errorf("%d messages are undelivered, want 8", n)
		}
	})
}

func TestUrgentGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w, ended := accept(t, config())
		s.Send(outgoing(1)) // this one occupies the sender
		synctest.Wait()
		out := outgoing(2)
		out[1].Msg.Flags, out[1].Msg.Name = kbusdev.Urgent, "$.Urgent"
		s.Send(out)
		<-w.toPeer
		if b := (<-w.toPeer).GetBatch(); len(b.GetMessages()) != 2 || b.Messages[0].Name != "$.Urgent" {
			t.Errorf("sent %v", b)
		}
		w.cancel()
		<-ended
	})
}

func TestAckRidesOnABatchOrComesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w, ended := accept(t, config())
		w.fromPeer <- batch(1, 1)
		<-s.Incoming()
		if got := s.TryRecv(nil); len(got) != 1 || got[0].Name != "$.A" {
			t.Fatalf("received %v", got)
		}
		start := time.Now()
		s.Done(1)
		if f := <-w.toPeer; f.GetAck().GetSequence() != 1 || time.Since(start) > 5*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(start), f)
		}
		w.fromPeer <- batch(2, 1)
		<-s.Incoming()
		s.TryRecv(nil)
		s.Done(1)
		s.Send(outgoing(1))
		if f := <-w.toPeer; f.GetBatch().GetAck() != 2 {
			t.Errorf("the ack does not ride: %v", f)
		}
		w.cancel()
		<-ended
	})
}

func TestNeverLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w, ended := accept(t, config())
		s.Send(outgoing(1))
		synctest.Wait() // it is with the stream now, which takes nothing
		more := outgoing(3)
		s.Send(more[1:])
		w.cancel()
		<-ended
		never := s.NeverLeft()
		for serial, want := range map[uint32]bool{1: false, 2: true, 3: true} {
			if never[kbusdev.MsgID{Network: 1, Serial: serial}] != want {
				t.Errorf("message %d: never left is %v", serial, !want)
			}
		}
	})
}

func TestBindEventsCrossAsFields(t *testing.T) {
	e := kbusdev.BindEvent{Bound: true, Binder: 5, Name: "$.A.*"}
	m := kbusdev.Message{Name: kbusdev.NameReplierBindEvent, Event: &e}
	var p pb.Message
	link.ToProto(&p, &m)
	if p.Data != nil || p.BindEvent.GetName() != "$.A.*" || p.BindEvent.GetBinder() != 5 || !p.BindEvent.GetIsBind() {
		t.Errorf("as proto: %v", &p)
	}
	back := link.FromProto(&p)
	if back.Event == nil || *back.Event != e || back.Data != nil {
		t.Errorf("came back as %+v", back)
	}
}

// No bytes from a peer make a session panic, hang or hold more than it may.
func FuzzFrames(f *testing.F) {
	for _, frames := range [][]*pb.Frame{
		{hello(), batch(1, 3), ack(0)},
		{hello(), batch(1, 1, func(b *pb.Batch) { b.Ack = 7 })},
		{hello(), {Kind: &pb.Frame_Drain{Drain: &pb.Drain{Reason: "bye"}}}, {Kind: &pb.Frame_Error{Error: &pb.Error{Code: 3, Message: "no"}}}},
		{batch(1, 1)},
	} {
		var b []byte
		for _, frame := range frames {
			raw, err := proto.Marshal(frame)
			if err != nil {
				f.Fatal(err)
			}
			b = append(append(b, byte(len(raw))), raw...)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWire()
		var frames []*pb.Frame
		for len(b) > 0 && len(frames) < 60 {
			n := min(int(b[0]), len(b)-1)
			frame := new(pb.Frame)
			if proto.Unmarshal(b[1:1+n], frame) != nil {
				break
			}
			frames, b = append(frames, frame), b[1+n:]
		}
		for _, frame := range frames {
			w.fromPeer <- frame
		}
		close(w.fromPeer)
		quit := make(chan struct{})
		go func() {
			for {
				select {
				case <-w.toPeer:
				case <-quit:
					return
				}
			}
		}()
		defer close(quit)
		cfg := config()
		cfg.CloseTimeout = time.Millisecond
		s, err := link.Accept(context.Background(), w, cfg)
		if err != nil {
			return
		}
		if s.Run(context.Background()) == nil {
			t.Error("a session ended without a reason")
		}
		s.TryRecv(nil)
	})
}

// With a peer that sends no acks, what the stream has taken counts as delivered, no
// ack is sent, and the stream is not read while our window is full.
func TestNoAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.NoAcks = true
		s, w, ended := accept(t, cfg)
		for range 100 {
			if s.Send([]link.Outgoing{{Msg: kbusdev.Message{Name: "$.A"}, FromBus: true}}) != 1 {
				t.Fatalf("the window is full: %+v", s.Stats())
			}
			if f := <-w.toPeer; len(f.GetBatch().GetMessages()) != 1 {
				t.Fatalf("to the peer: %v", f)
			}
			synctest.Wait()
		}
		if st := s.Stats(); st.Delivered != 100 || st.Unacked != 0 {
			t.Errorf("%+v", st)
		}

		// The window is of 8 messages, so two batches of 4 are read, and one more for
		// each that is done.
		for i := range 16 {
			w.fromPeer <- batch(uint64(4*i+1), 4)
		}
		synctest.Wait()
		for left := 14; left > 0; left-- {
			if len(w.fromPeer) != left {
				t.Fatalf("%d batches are unread, want %d", len(w.fromPeer), left)
			}
			s.TryRecv(nil)
			s.Done(4)
			synctest.Wait()
		}
		time.Sleep(time.Hour) //nolint:forbidigo // in a bubble, where it takes no time: an ack would have been due
		select {
		case f := <-w.toPeer:
			t.Errorf("to the peer: %v", f)
		default:
		}
		s.End(errors.New("the test is over"))
		w.cancel()
		<-ended
	})
}
