package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

var at = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// someMessage returns a message with whatever fields.
func someMessage(r *rand.Rand) kbusdev.Message {
	number := func() uint32 { return uint32(r.Uint64()>>r.IntN(64)) * uint32(r.IntN(2)) }
	address := func() kbusdev.Address {
		return kbusdev.Address{Network: number(), Local: kbusdev.KsockID(number())}
	}
	m := kbusdev.Message{
		ID: kbusdev.MsgID{Network: number(), Serial: number()}, InReplyTo: kbusdev.MsgID{Network: number(), Serial: number()},
		To: kbusdev.KsockID(number()), From: kbusdev.KsockID(number()), OrigFrom: address(), FinalTo: address(), Flags: kbusdev.Flags(number()),
		Name: "$." + strings.Repeat("n", r.IntN(300)>>r.IntN(9)),
	}
	if r.IntN(3) == 0 {
		m.Expires = at.Add(time.Duration(1+r.IntN(1<<40)) * time.Millisecond)
	}
	if r.IntN(3) == 0 {
		m.Trace = &kbusdev.TraceContext{TraceID: [16]byte{byte(1 + r.IntN(255))}, SpanID: [8]byte{7: byte(1 + r.IntN(255))}, Flags: byte(r.IntN(256))}
	}
	switch r.IntN(4) {
	case 0:
		m.Event = &kbusdev.BindEvent{Bound: r.IntN(2) == 0, Binder: kbusdev.KsockID(number()), Name: strings.Repeat("e", r.IntN(200)>>r.IntN(8))}
	case 1:
	default:
		m.Data = bytes.Repeat([]byte{byte(r.IntN(256))}, 1+r.IntN(100_000)>>r.IntN(17))
	}
	return m
}

func someBatch(r *rand.Rand) *link.Batch {
	b := &link.Batch{First: r.Uint64() >> r.IntN(64), Ack: r.Uint64() >> r.IntN(64) * uint64(r.IntN(2))}
	for range 1 + r.IntN(20) {
		b.Messages = append(b.Messages, someMessage(r))
	}
	return b
}

// A batch has the bytes that protobuf gives it, however it is cut into buffers.
func TestMarshalIsProtobuf(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		b := someBatch(r)
		got, err := Codec.Marshal(&outgoing{b, at})
		if err != nil {
			t.Fatal(err)
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(toRequest(b, at))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(whole(got), want) {
			t.Fatalf("%v\nwant\n%v", whole(got), want)
		}
		got.Free()
	}
}

func whole(s mem.BufferSlice) []byte {
	b := make([]byte, s.Len())
	s.CopyTo(b)
	return b
}

// sameBytes is much faster than cmp's own way.
var sameBytes = cmp.FilterValues(func(a, b []byte) bool { return len(a) > 0 || len(b) > 0 }, cmp.Comparer(bytes.Equal))

// difference returns how frames differ, but for when messages expire; "" if they do not. It
// asks cmp only when it must, which takes most of the time of fuzzing otherwise.
func difference(want, got link.Frame) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got, sameBytes, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(kbusdev.Message{}, "Expires"))
}

// in cuts bytes into several buffers, as gRPC gives them.
func in(b []byte, pieces int) (out mem.BufferSlice) {
	for n := pieces; n > 1; n-- {
		out = append(out, mem.SliceBuffer(b[:len(b)/n]))
		b = b[len(b)/n:]
	}
	return append(out, mem.SliceBuffer(b))
}

func received(b []byte, pieces int) (link.Frame, error) {
	var r Receiver
	if err := Codec.Unmarshal(in(b, pieces), &r); err != nil {
		return nil, err
	}
	return r.frame, r.err
}

func TestBatchesCrossUnchanged(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 500 {
		want := someBatch(r)
		out, _ := Codec.Marshal(&outgoing{want, at})
		bytes := whole(out)
		got, err := received(bytes, 1+i%3)
		for j := range bytes { // what was received has not kept any of it
			bytes[j] = 0xff
		}
		diff := difference(want, got)
		if diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
		for j, m := range got.(*link.Batch).Messages {
			if m.Expires.IsZero() != (want.Messages[j].Expires.IsZero() || want.Messages[j].Expires.Sub(at) > maxExpires) {
				t.Fatalf("%v expires at %v", want.Messages[j].Expires, m.Expires)
			}
		}
	}
}

// Whatever comes is decoded as protobuf and FrameFromProto do.
func FuzzReceive(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		out, _ := Codec.Marshal(&outgoing{someBatch(r), at})
		if b := whole(out); len(b) < 2000 {
			f.Add(b)
		}
	}
	for _, s := range []string{
		"", "\x0a\x02\x12\x00", "\x0a\x04\x12\x02\x12\x00", "\x0a\x05\x12\x03\x12\x01", "\x0a\x04\x1a\x02\x08\x05", // no batch, empty, cut off, an ack
		"\x0a\x06\x12\x04\x12\x02\x62\x00\x0a\x00",                                                                        // a second frame
		"\x0a\x08\x12\x06\x12\x04\x62\x02\xff\xfe",                                                                        // no UTF-8
		"\x0a\x0a\x12\x08\x12\x06\x72\x00\x72\x02\x10\x07",                                                                // two bind events are one
		"\x0a\x0b\x12\x09\x12\x07\x6a\x01x\x72\x02\x10\x07",                                                               // data and a bind event
		"\x0a\x08\x12\x06\x12\x04\x08\x05\x08\x06",                                                                        // the last of a number counts
		"\x0a\x0b\x12\x09\x12\x07\x08\xff\xff\xff\xff\x7f\x10",                                                            // cut off in a message
		"\x0a\x08\x12\x06\x12\x04\x9b\x06\x9c\x06",                                                                        // a group
		"\x0a\x06\x12\x04\x09\x00\x00\x00",                                                                                // cut off, another type
		"\x0a\x0d\x12\x0b\x12\x09\x6a\x03abc\xa8\x06\x01\x0d",                                                             // unknown fields
		"\x0a\x22\x12\x20\x12\x1e\x62\x00\x82\x01\x19" + strings.Repeat("t", 25),                                          // a trace context
		"\x0a\x27\x12\x25\x12\x23\x82\x01\x19" + strings.Repeat("t", 25) + "\x82\x01\x02tt\x62\x00",                       // the last counts, and is none
		"\x0a\x22\x12\x20\x12\x1e\x62\x00\x82\x01\x19" + strings.Repeat("t", 16) + "\x00\x00\x00\x00\x00\x00\x00\x00\x01", // no span id
		"\x0a\x0f\x12\x0d\x12\x0b\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff",                                                // a long number
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want link.Frame
		request := new(pb.LinkRequest)
		bad := proto.Unmarshal(b, request)
		wantErr := bad
		if bad == nil {
			want, wantErr = FrameFromProto(request.GetFrame(), at)
		}
		for pieces := 1; pieces <= 2; pieces++ {
			got, err := received(b, pieces)
			var verdict, wanted *link.Error
			if (err == nil) != (wantErr == nil) || errors.As(err, &verdict) != errors.As(wantErr, &wanted) {
				t.Fatalf("%v, want %v", err, wantErr)
			}
			if diff := difference(want, got); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// What is malformed is no frame, and says so.
func TestUndecodable(t *testing.T) {
	for _, s := range []string{"\x0a\x05\x12\x03\x12\x01", "\x0a\x08\x12\x06\x12\x04\x62\x02\xff\xfe", "\x0a", "\x0a\x0a\x12\x08\x12\x06\x72\x04\x1a\x02\xff\xfe"} {
		if f, err := received([]byte(s), 1); err == nil || f != nil || !strings.Contains(err.Error(), "decoding a") {
			t.Errorf("%q: %v, %v", s, f, err)
		}
	}
}

// A batch of too many messages is refused before it takes memory.
func TestManyMessages(t *testing.T) {
	b := &link.Batch{Messages: make([]kbusdev.Message, 200_000)}
	many, err := proto.Marshal(toRequest(b, at))
	if err != nil {
		t.Fatal(err)
	}
	var verdict *link.Error
	if n := testing.AllocsPerRun(1, func() { _, err = received(many, 1) }); n > 20 {
		t.Errorf("%v allocations", n)
	}
	if !errors.As(err, &verdict) || verdict.Code != link.Protocol || !strings.Contains(verdict.Message, "a batch of 200000 messages") {
		t.Errorf("%v", err)
	}
}

// A small message that came with a large one does not keep the memory of both.
func TestKeptMemory(t *testing.T) {
	b := &link.Batch{Messages: []kbusdev.Message{{Name: "$.A", Data: make([]byte, 1<<20)}, {Name: "$.A", Data: []byte{1}}}}
	out, _ := Codec.Marshal(&outgoing{b, at})
	bytes := whole(out)
	f, err := received(bytes, 9)
	if err != nil {
		t.Fatal(err)
	}
	got := f.(*link.Batch).Messages
	if n := cap(got[1].Data); n > 64 {
		t.Errorf("a byte of data keeps %d", n)
	}
	if n := cap(got[0].Data); n != 1<<20 {
		t.Errorf("1 MiB of data keeps %d: something can be appended to it", n)
	}
}

// A peer cannot make us remember names without end.
func TestNamesAreBounded(t *testing.T) {
	var n names
	for i := range 10 * maxNames {
		name := fmt.Sprintf("$.%d.%s", i, strings.Repeat("x", i%300))
		if got := n.intern([]byte(name)); got != name {
			t.Fatalf("%q is %q", name, got)
		}
		if len(n.known) > maxNames || n.bytes > maxNameBytes {
			t.Fatalf("%d names of %d bytes", len(n.known), n.bytes)
		}
	}
	long := strings.Repeat("y", maxNameBytes)
	n.intern([]byte("$.Known"))
	if n.intern([]byte(long)); n.known["$.Known"] == "" || n.known[long] != "" {
		t.Error("one long name has driven the others out")
	}
	if testing.AllocsPerRun(10, func() { n.intern([]byte("$.Known")) }) > 0 {
		t.Error("a known name takes memory")
	}
}

func BenchmarkCodec(b *testing.B) {
	for _, size := range []int{16, 64, 1 << 10, 64 << 10} {
		batch := &link.Batch{First: 1 << 20, Ack: 1 << 20}
		for range min(link.MaxBatchMessages, max(1, link.MaxBatchBytes/(size+100))) {
			batch.Messages = append(batch.Messages, kbusdev.Message{
				ID: kbusdev.MsgID{Network: 1, Serial: 100000}, From: 3, OrigFrom: kbusdev.Address{Network: 1, Local: 3},
				Name: "$.Sensors.Kitchen", Data: make([]byte, size),
			})
		}
		run := func(name string, once func()) {
			b.Run(fmt.Sprintf("%dB/%s", size, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					once()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Messages)), "ns/msg")
			})
		}
		out, _ := Codec.Marshal(&outgoing{batch, at})
		encoded := whole(out)
		var r Receiver
		request := new(pb.LinkRequest)
		run("marshal/ours", func() { out, _ := Codec.Marshal(&outgoing{batch, at}); out.Free() })
		run("marshal/protobuf", func() { out, _ := Codec.Marshal(toRequest(batch, at)); out.Free() })
		run("unmarshal/ours", func() { _ = Codec.Unmarshal(in(encoded, len(encoded)/(16<<10)+1), &r) })
		run("unmarshal/protobuf", func() {
			request.Reset()
			_ = Codec.Unmarshal(in(encoded, len(encoded)/(16<<10)+1), request)
			_, _ = FrameFromProto(request.GetFrame(), at)
		})
	}
}
