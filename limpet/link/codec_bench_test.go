package link_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// What a message costs on its way to bytes and back, per message in batches of
// 64: protobuf for the link, beside the device's entire messages.
func BenchmarkCodec(b *testing.B) {
	m := kbusdev.Message{
		ID: kbusdev.MsgID{Network: 1, Serial: 100000}, From: 3, OrigFrom: kbusdev.Address{Network: 1, Local: 3},
		Name: "$.Sensors.Kitchen", Data: make([]byte, 64),
	}
	b.Run("link", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		i := 0
		for b.Loop() {
			if i++; i%link.MaxBatchMessages != 0 {
				continue
			}
			out := &pb.Batch{FirstSequence: 1}
			for range link.MaxBatchMessages {
				p := new(pb.Message)
				link.ToProto(p, &m)
				out.Messages = append(out.Messages, p)
			}
			var err error
			if buf, err = (proto.MarshalOptions{}).MarshalAppend(buf[:0], out); err != nil {
				b.Fatal(err)
			}
			in := new(pb.Batch)
			if err := proto.Unmarshal(buf, in); err != nil {
				b.Fatal(err)
			}
			for _, p := range in.GetMessages() {
				if got := link.FromProto(p); got.ID != m.ID {
					b.Fatalf("%+v", got)
				}
			}
		}
	})
	b.Run("device", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf = kbusdev.AppendEntire(buf[:0], kbusdev.HostLayout, &m)
			if got, err := kbusdev.ParseEntire(buf, kbusdev.HostLayout); err != nil || got.ID != m.ID {
				b.Fatalf("%+v, %v", got, err)
			}
		}
	})
}
