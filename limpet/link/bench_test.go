package link_test

import (
	"fmt"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// What a message costs in the sessions of both sides: put, sent in a batch, received,
// taken, decided and acknowledged, by how many are put at once. ns/op and allocs/op are
// per message.
func BenchmarkSession(b *testing.B) {
	for _, burst := range []int{1, 64, 8192} {
		b.Run(fmt.Sprintf("burst=%d", burst), func(b *testing.B) {
			cfg := link.SessionConfig{WindowMessages: 16384, WindowBytes: 16 << 20}
			from, to := link.NewSession(cfg), link.NewSession(cfg)
			for _, s := range []*link.Session{from, to} {
				if err := s.Attach(start, 1); err != nil {
					b.Fatal(err)
				}
			}
			out := &link.Outgoing{FromBus: true, Msg: kbusdev.Message{Name: "$.Sensors.Kitchen", Data: make([]byte, 64)}}
			b.ReportAllocs()
			for i := 0; i < b.N; i += burst {
				for range burst {
					if !from.Room(link.Normal) {
						b.Fatal("the window is full")
					}
					from.Put(start, link.Normal, out)
				}
				for f, _, _ := from.Next(start); f != nil; f, _, _ = from.Next(start) {
					if err := to.Receive(start, f); err != nil {
						b.Fatal(err)
					}
				}
				var first uint64
				for to.Waiting() > 0 {
					var msgs []kbusdev.Message
					first, msgs = to.Take(burst)
					for i := range msgs {
						to.Decided(start, first+uint64(i), msgs[i].Size())
					}
					first += uint64(len(msgs))
				}
				if err := from.Receive(start, &link.Ack{Sequence: first - 1}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
