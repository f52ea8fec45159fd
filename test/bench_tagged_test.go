//go:build linux

package test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
)

// Operations with a result: calls of a Caller, whose replier prefetches and posts, and sends
// that wait for the id; by how many are under way at a time. cpu-µs is of all that one takes,
// both programs and the daemon together.
func BenchmarkProgramTagged(b *testing.B) {
	for _, atOnce := range []int{1, 64} {
		for _, what := range []string{"call", "send"} {
			b.Run(fmt.Sprintf("%s/%d", what, atOnce), func(b *testing.B) {
				d := start(b, 1, limpet.Config{}, "")
				once := sendTagged(b, d)
				if what == "call" {
					once = callAnswered(b, d)
				}
				b.ReportAllocs()
				b.ResetTimer()
				cpu := -cpuOf(b, []int{os.Getpid()})
				var running sync.WaitGroup
				left := atomic.Int64{}
				left.Store(int64(b.N))
				for range atOnce {
					running.Go(func() {
						for left.Add(-1) >= 0 {
							if err := once(); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				running.Wait()
				cpu += cpuOf(b, []int{os.Getpid()})
				b.ReportMetric(float64(cpu.Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

func sendTagged(b *testing.B, d *node) func() error {
	b.Helper()
	k := ksockOf(b, d, nil, kbusdev.Listener)
	m := &kbusdev.Message{Name: "$.Sensors.Kitchen", Data: make([]byte, 64)}
	return func() error { _, err := k.Send(context.Background(), m); return err }
}

func callAnswered(b *testing.B, d *node) func() error {
	b.Helper()
	replier := ksockOf(b, d, []string{"$.Ask"}, kbusdev.Replier)
	if err := replier.Prefetch(true); err != nil {
		b.Fatal(err)
	}
	go func() {
		msgs := make([]*kbusdev.Message, 256)
		for {
			n, err := replier.RecvBatch(context.Background(), msgs)
			if err != nil {
				return
			}
			for _, q := range msgs[:n] {
				_ = replier.Post(context.Background(), &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: q.Data})
			}
		}
	}()
	caller := dialAPI(b, d).Caller()
	b.Cleanup(func() { _ = caller.Close() })
	q := &kbusdev.Message{Name: "$.Ask", Data: make([]byte, 64)}
	return func() error { _, err := caller.Call(context.Background(), q); return err }
}
