package wire_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// largest is a message whose every field takes as many bytes as it can.
func largest(name, data int) kbusdev.Message {
	const most = math.MaxUint32
	return kbusdev.Message{
		ID: kbusdev.MsgID{Network: most, Serial: most}, InReplyTo: kbusdev.MsgID{Network: most, Serial: most},
		To: most, From: most, OrigFrom: kbusdev.Address{Network: most, Local: most}, FinalTo: kbusdev.Address{Network: most, Local: most},
		Flags: most, Name: strings.Repeat("n", name), Data: []byte(strings.Repeat("d", data)), Expires: now.Add(math.MaxInt64),
		Trace: &kbusdev.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 3},
	}
}

func event(e kbusdev.BindEvent) kbusdev.Message {
	m := largest(len(kbusdev.NameReplierBindEvent), 0)
	m.Name, m.Data, m.Event = kbusdev.NameReplierBindEvent, nil, &e
	m.Expires = time.Time{}
	return m
}

func someGreeting() *link.Greeting {
	return &link.Greeting{
		Version: link.ProtocolVersion, Features: []string{"interest", "more"}, NetworkID: 7, Instance: link.InstanceID{1, 15: 2},
		LinkID: "\x00\xff raw", Pattern: "$.A.*", MaxMessageSize: 1 << 20, WindowMessages: 64, WindowBytes: 1 << 40,
		Behind:  []link.Network{{ID: 9, Instance: link.InstanceID{9}, Software: "v1.2.4"}, {ID: math.MaxUint32, Instance: link.InstanceID{8}}},
		Session: link.SessionID{3, 15: 4}, Expected: 1 << 60, Software: "v1.2.3",
	}
}

// someHeader is the header of a request.
func someHeader() kbusdev.Message {
	return kbusdev.Message{
		ID: kbusdev.MsgID{Network: 1}, To: 3, From: 4, OrigFrom: kbusdev.Address{Network: 1, Local: 9}, FinalTo: kbusdev.Address{Network: 2, Local: 8},
		Flags: kbusdev.WantReply, Name: "$.A.B",
	}
}

// someHop has all that a hop can have.
func someHop() *explain.Hop {
	rule := &explain.Judgement{Action: "request", Allowed: true, Rule: 3, OfLink: true, Text: "allow: [request]"}
	stop := &explain.Stop{Reason: "denied", Answer: "$.KBUS.RemoteError.EADDRNOTAVAIL", Errno: "EADDRNOTAVAIL"}
	return &explain.Hop{
		Network: 2, Message: someHeader(), Rule: rule, Stop: stop, Claims: []explain.Claim{{Link: "network 3", Name: "$.A.*", Denied: true}},
		Replier: &explain.Recipient{Ksock: 5, Binding: "$.A.%", Link: "connect x"}, Listeners: []explain.Recipient{{Ksock: 6, Binding: "$.*", Denied: rule, NoRoom: true}},
		MoreListeners: 4, MoreBranches: 5,
		Branches: []explain.Branch{
			{Link: "connect x", Network: 9, Request: true, Message: someHeader(), Rule: rule, Took: time.Millisecond, Next: &explain.Hop{
				Network: 9, Told: &explain.Outcome{By: kbusdev.Address{Network: 9, Local: 1}, Answer: "$.X", Errno: "EIO", Heard: true, Unseen: explain.Hidden},
			}},
			{Link: "connect y", Stop: stop, End: explain.NotLinked, Why: "no such host"},
		},
	}
}

// Size is an upper bound of what an answer takes.
func TestSizeOfAHopIsABound(t *testing.T) {
	h := someHop()
	for range 6 {
		if encoded := proto.Size(wire.HopToProto(h)); encoded > h.Size() {
			t.Errorf("%d bytes count as %d", encoded, h.Size())
		}
		next := someHop()
		next.Message = largest(1000, 0)
		next.Message.Expires, next.Message.Trace = time.Time{}, nil
		next.Network, next.MoreListeners, next.MoreBranches, next.Branches[0].Took = math.MaxUint32, math.MaxUint32, math.MaxUint32, math.MaxInt64
		next.Branches[0].Network, next.Listeners[0].Ksock, next.Branches[0].Message = math.MaxUint32, math.MaxUint32, next.Message
		next.Branches[0].Next, h = h, next
	}
}

// An answer with more in it than an honest one has is not taken.
func TestLargeAnswersAreRefused(t *testing.T) {
	deep := new(explain.Hop)
	for range 3000 {
		deep = &explain.Hop{Branches: []explain.Branch{{Next: deep}}}
	}
	for what, h := range map[string]*explain.Hop{
		"deep": deep, "wide": {Branches: make([]explain.Branch, 5000)}, "long": {Claims: []explain.Claim{{Name: strings.Repeat("x", explain.MaxAnswer)}}},
	} {
		if f, err := over(t, &link.Answer{ID: 1, Hop: h}); err == nil {
			t.Errorf("%s: %T is taken", what, f)
		}
	}
}

// someFrames are one of each kind at least.
func someFrames() []link.Frame {
	fresh := someGreeting()
	fresh.Session, fresh.Expected = link.SessionID{}, 1
	mortal := largest(5, 5)
	mortal.Expires = now.Add(1500 * time.Millisecond)
	immortal := largest(5, 0)
	immortal.Expires, immortal.Trace = time.Time{}, nil
	return []link.Frame{
		someGreeting(), fresh,
		&link.Batch{First: 3, Ack: 1 << 63, Messages: []kbusdev.Message{mortal, immortal, {Name: "$.A"}, event(kbusdev.BindEvent{Bound: true, Binder: 5, Name: "$.B.%"}), event(kbusdev.BindEvent{})}},
		&link.Ack{Sequence: math.MaxUint64}, &link.Ping{Received: 5}, &link.Ping{},
		&link.Topology{Networks: someGreeting().Behind}, &link.Topology{},
		&link.Topology{Networks: someGreeting().Behind, Amends: true, Removed: []uint32{5, math.MaxUint32}}, &link.Topology{Networks: []link.Network{}, Amends: true},
		&link.Interest{Restart: true, Wanted: []string{"$.A", "$.B.*"}, Unwanted: []string{"$.C"}}, &link.Interest{Whole: true},
		&link.Table{Kind: link.TableDigest, Names: 3, Sum: math.MaxUint64}, &link.Table{Kind: link.TableResync}, &link.Table{Kind: link.TableBegin}, &link.Table{Kind: link.TableEnd},
		&link.Question{Question: explain.Question{ID: math.MaxUint64, Message: someHeader(), Hops: 3, Bytes: 100, Within: 1500 * time.Millisecond}}, &link.Question{},
		&link.Answer{ID: 7}, &link.Answer{ID: 7, Hop: someHop()},
		&link.Drain{Reason: "stopping"}, &link.Drain{Done: true}, &link.Error{Code: link.Clash, Message: "two of them", NetworkID: 7, Remote: true}, &link.Unknown{},
	}
}

// over sends a frame through bytes.
func over(t testing.TB, f link.Frame) (link.Frame, error) {
	t.Helper()
	b, err := proto.Marshal(wire.FrameToProto(f, now))
	if err != nil {
		t.Fatalf("%#v: %v", f, err)
	}
	in := new(pb.Frame)
	if err := proto.Unmarshal(b, in); err != nil {
		t.Fatal(err)
	}
	return wire.FrameFromProto(in, now)
}

func TestFramesCrossUnchanged(t *testing.T) {
	for _, f := range someFrames() {
		got, err := over(t, f)
		if diff := cmp.Diff(f, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%T: %v\n%s", f, err, diff)
		}
	}
}

// A deadline travels as the time that is left: it is never 0, which is no deadline, and
// one that is very far away is none.
func TestDeadlines(t *testing.T) {
	for _, c := range []struct{ left, want time.Duration }{
		{time.Second, time.Second}, {1999 * time.Microsecond, time.Millisecond}, {time.Microsecond, time.Millisecond}, {-time.Hour, time.Millisecond},
		{math.MinInt64, time.Millisecond}, {364 * 24 * time.Hour, 364 * 24 * time.Hour}, {366 * 24 * time.Hour, 0}, {math.MaxInt64, 0},
	} {
		var p pb.Message
		wire.ToProto(&p, &kbusdev.Message{Expires: now.Add(c.left)}, now)
		later := now.Add(time.Hour) // the other side's clock
		var m kbusdev.Message
		wire.FromProto(&m, &p, later)
		want := later.Add(c.want)
		if c.want == 0 {
			want = time.Time{}
		}
		if !m.Expires.Equal(want) {
			t.Errorf("%v left: it expires at %v, want %v", c.left, m.Expires, want)
		}
	}
}

// ToProto sets every field, whatever was there before.
func TestToProtoLeavesNothing(t *testing.T) {
	var p pb.Message
	mortal := largest(3, 3)
	for _, m := range []kbusdev.Message{mortal, event(kbusdev.BindEvent{Name: "$.A"}), {Name: "$.B", Data: []byte("x")}, event(kbusdev.BindEvent{Name: "$.A"})} {
		wire.ToProto(&p, &m, now)
		var fresh pb.Message
		wire.ToProto(&fresh, &m, now)
		if !proto.Equal(&p, &fresh) {
			t.Errorf("%v\nwant\n%v", &p, &fresh)
		}
	}
}

// EncodedSize is an upper bound, so that no batch of several messages falls into the next
// size of gRPC's buffers, 32 KiB.
func TestEncodedSizeIsABound(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		b := &link.Batch{First: math.MaxUint64, Ack: math.MaxUint64}
		for size := 0; len(b.Messages) < link.MaxBatchMessages; {
			m := largest(1+rnd.IntN(1000)>>rnd.IntN(10), rnd.IntN(32000)>>rnd.IntN(16))
			if rnd.IntN(5) == 0 {
				m = event(kbusdev.BindEvent{Bound: true, Binder: math.MaxUint32, Name: strings.Repeat("e", rnd.IntN(1000))})
				m.Expires = now.Add(math.MaxInt64)
			}
			if size += link.EncodedSize(&m); len(b.Messages) > 0 && size > link.MaxBatchBytes {
				break
			}
			b.Messages = append(b.Messages, m)
		}
		p := wire.FrameToProto(b, now)
		for i, m := range p.GetBatch().GetMessages() {
			alone := &pb.Batch{Messages: []*pb.Message{m}}
			if got, want := proto.Size(alone), link.EncodedSize(&b.Messages[i]); got > want {
				t.Fatalf("a message takes %d bytes, more than %d", got, want)
			}
		}
		if n := proto.Size(&pb.LinkRequest{Frame: p}); len(b.Messages) > 1 && n > 32<<10 {
			t.Fatalf("a batch of %d takes %d bytes", len(b.Messages), n)
		}
	}
}

// Every code of the protocol has a name in link, and the same number.
func TestCodesAreTheProtocols(t *testing.T) {
	for n, name := range pb.ErrorCode_name {
		if n == 0 {
			continue
		}
		got := strings.ToUpper(strings.ReplaceAll("error code "+link.Code(n).String(), " ", "_"))
		if got != name && (link.Code(n) != link.BusFailed || name != "ERROR_CODE_BUS") {
			t.Errorf("%s is %q in link", name, link.Code(n))
		}
	}
}

// What cannot be a frame is refused before anything large is made of it.
func TestBadFrames(t *testing.T) {
	id := make([]byte, 16)
	greeting := func(change func(*pb.Greeting)) *pb.Frame {
		g := &pb.Greeting{ProtocolVersion: link.ProtocolVersion, InstanceId: id}
		change(g)
		return &pb.Frame{Kind: &pb.Frame_Greeting{Greeting: g}}
	}
	topology := func(networks ...*pb.Network) *pb.Topology { return &pb.Topology{Networks: networks} }
	for _, c := range []struct {
		name  string
		frame *pb.Frame
		words string
	}{
		{"no batch", &pb.Frame{Kind: &pb.Frame_Batch{}}, "batch without contents"},
		{"no message", &pb.Frame{Kind: &pb.Frame_Batch{Batch: &pb.Batch{Messages: []*pb.Message{nil}}}}, "empty message"},
		{"many messages", &pb.Frame{Kind: &pb.Frame_Batch{Batch: &pb.Batch{Messages: make([]*pb.Message, 1<<20)}}}, "a batch of 1048576 messages"},
		{"short instance", greeting(func(g *pb.Greeting) { g.InstanceId = id[1:] }), "an instance id of 15 bytes"},
		{"short session", greeting(func(g *pb.Greeting) { g.SessionId = id[:1] }), "a session id of 1 bytes"},
		{"short id behind", greeting(func(g *pb.Greeting) { g.Topology = topology(&pb.Network{NetworkId: 1}) }), "an instance id of 0 bytes"},
		{"many behind", greeting(func(g *pb.Greeting) { g.Topology = topology(make([]*pb.Network, 1<<20)...) }), "1048576 networks behind the peer"},
		{"topology", &pb.Frame{Kind: &pb.Frame_Topology{Topology: topology(nil)}}, "an instance id of 0 bytes"},
		{"many networks", &pb.Frame{Kind: &pb.Frame_Topology{Topology: topology(make([]*pb.Network, 4097)...)}}, "4097 networks behind the peer"},
		{"many gone", &pb.Frame{Kind: &pb.Frame_Topology{Topology: &pb.Topology{Amends: true, RemovedNetworkIds: make([]uint32, 4097)}}}, "4097 networks behind the peer have gone"},
		{"many names", &pb.Frame{Kind: &pb.Frame_Interest{Interest: &pb.Interest{Wanted: make([]string, 1024), Unwanted: make([]string, 1)}}}, "1025 names"},
	} {
		var f link.Frame
		var err error
		if n := testing.AllocsPerRun(1, func() { f, err = wire.FrameFromProto(c.frame, now) }); n > 30 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		var e *link.Error
		if !errors.As(err, &e) || e.Code != link.Protocol || e.Remote || !strings.Contains(e.Message, c.words) || f != nil {
			t.Errorf("%s: %#v, %v, want a protocol error about %q", c.name, f, err, c.words)
		}
	}
	for _, f := range []*pb.Frame{nil, {}, {Kind: &pb.Frame_Table{}}, {Kind: &pb.Frame_Table{Table: &pb.Table{}}}} {
		if got, err := wire.FrameFromProto(f, now); err != nil || !cmp.Equal(got, link.Frame(&link.Unknown{})) {
			t.Errorf("%v is %#v, %v", f, got, err)
		}
	}
}

// What a peer says to people is bounded, can be sent on, and is nothing that a terminal
// would obey.
func TestWordsOfThePeer(t *testing.T) {
	for _, words := range []string{"bye", strings.Repeat("ä", 2000), "a" + strings.Repeat("ä", 2000), "\x1b[2J\x07bell\nline", "", "line\u0085\u009b1m"} {
		for _, f := range []link.Frame{&link.Drain{Reason: words}, &link.Error{Message: words}} {
			got, err := over(t, f)
			if err != nil {
				t.Fatal(err)
			}
			var said string
			switch got := got.(type) {
			case *link.Drain:
				said = got.Reason
			case *link.Error:
				said = got.Message
			}
			if len(said) > 1010 || !utf8.ValidString(said) || strings.ContainsFunc(said, unicode.IsControl) || utf8.RuneCountInString(said) < min(utf8.RuneCountInString(words), 490) {
				t.Errorf("%.20q is said as %q", words, said)
			}
		}
	}
}

// No bytes of a peer make a frame that cannot be sent on unchanged, or a panic.
func FuzzFrames(f *testing.F) {
	for _, frame := range someFrames() {
		b, err := proto.Marshal(wire.FrameToProto(frame, now))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := new(pb.Frame)
		if proto.Unmarshal(b, in) != nil {
			return
		}
		frame, err := wire.FrameFromProto(in, now)
		if err != nil {
			var e *link.Error
			if !errors.As(err, &e) || e.Code != link.Protocol || frame != nil {
				t.Errorf("%#v with %v", frame, err)
			}
			return
		}
		again, err := over(t, frame)
		if diff := cmp.Diff(frame, again, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		switch f := frame.(type) {
		case *link.Greeting:
			_ = f.Check()
		case *link.Batch:
			s := link.NewSession(link.SessionConfig{WindowMessages: 8, WindowBytes: 1000})
			if s.Attach(now, 1) == nil {
				_ = s.Receive(now, f)
			}
		}
	})
}

// What a message costs on its way to bytes and back, in batches as large as a session
// makes them; ns/op and allocs/op are per message.
func BenchmarkCodec(b *testing.B) {
	const n = 64
	batch := &link.Batch{First: 1 << 20, Ack: 1 << 20}
	for i := range n {
		batch.Messages = append(batch.Messages, kbusdev.Message{
			ID: kbusdev.MsgID{Network: 1, Serial: uint32(100_000 + i)}, From: 3, OrigFrom: kbusdev.Address{Network: 1, Local: 3},
			Name: "$.Sensors.Kitchen", Data: make([]byte, 64),
		})
	}
	encoded, err := proto.Marshal(wire.FrameToProto(batch, now))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 2*len(encoded))
		for i := 0; i < b.N; i += n {
			if buf, err = (proto.MarshalOptions{}).MarshalAppend(buf[:0], wire.FrameToProto(batch, now)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i += n {
			in := new(pb.Frame)
			if err := proto.Unmarshal(encoded, in); err != nil {
				b.Fatal(err)
			}
			if f, err := wire.FrameFromProto(in, now); err != nil || len(f.(*link.Batch).Messages) != n {
				b.Fatalf("%#v, %v", f, err)
			}
		}
	})
}
