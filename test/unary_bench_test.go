package test

import (
	"context"
	"fmt"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
)

// What a program pays for a unary call, over a Unix socket, with few or many bindings on
// the bus, all in this process:
//
//	go test ./test -run '^$' -bench Unary -benchtime 2s
func BenchmarkUnary(b *testing.B) {
	for _, bindings := range []int{0, 100_000} {
		n := start(b, 1, limpet.Config{}, "")
		other, err := n.bus.Open(kbusdev.ReadWrite)
		if err != nil {
			b.Fatal(err)
		}
		for i := range bindings {
			if err := other.Bind(fmt.Sprintf("$.Other.N%d", i), kbusdev.Role(i%2 == 0)); err != nil {
				b.Fatal(err)
			}
		}
		bus, err := client.Open(n.api)
		if err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		r, err := n.bus.Open(kbusdev.ReadWrite)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Bind("$.Ask", kbusdev.Replier); err != nil {
			b.Fatal(err)
		}
		go func() {
			for {
				q, err := r.Recv(ctx)
				if err != nil {
					return
				}
				_, _ = r.Send(ctx, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID})
			}
		}()
		m := kbusdev.Message{Name: "$.News", Data: make([]byte, 64)}
		b.Run(fmt.Sprintf("send/bindings=%d", bindings), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bus.Send(ctx, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("call/bindings=%d", bindings), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bus.Call(ctx, &kbusdev.Message{Name: "$.Ask", Data: m.Data}); err != nil {
					b.Fatal(err)
				}
			}
		})
		_ = bus.Close()
		_ = r.Close()
		_ = other.Close()
	}
}
