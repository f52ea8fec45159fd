package membus_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// What must cost the same with ten others on the bus as with a hundred thousand.
// Each benchmark is one operation, or a pair that ends where it began.
func BenchmarkCosts(b *testing.B) {
	const full = 1<<31 - 1 // a bound that is none
	unlimited := func(b *testing.B, k kbusdev.Ksock) kbusdev.Ksock {
		if _, err := k.MaxMessages(full); err != nil {
			b.Fatal(err)
		}
		return k
	}
	ctx := context.Background()
	for _, c := range []struct {
		name  string
		start func(b *testing.B, bus *membus.Bus, others int) (op func())
	}{
		{"open and close/bindings", func(b *testing.B, bus *membus.Bus, others int) func() {
			other := open(b, bus)
			for i := range others {
				bind(b, other, fmt.Sprintf("$.Other.N%d", i), kbusdev.Role(i%2 == 0))
			}
			return func() { _ = open(b, bus).Close() }
		}},
		{"open and close/ksocks", func(b *testing.B, bus *membus.Bus, others int) func() {
			for range others {
				open(b, bus)
			}
			return func() { _ = open(b, bus).Close() }
		}},
		{"bind and unbind/own bindings", func(b *testing.B, bus *membus.Bus, others int) func() {
			k := open(b, bus)
			for i := range others {
				bind(b, k, fmt.Sprintf("$.Other.N%d", i), kbusdev.Role(i%2 == 0))
			}
			return func() {
				bind(b, k, "$.A", kbusdev.Listener)
				_ = k.Unbind("$.A", kbusdev.Listener)
			}
		}},
		{"bind and unbind/listeners of the name", func(b *testing.B, bus *membus.Bus, others int) func() {
			first := open(b, bus)
			bind(b, first, "$.A", kbusdev.Listener)
			other := open(b, bus)
			for range others {
				bind(b, other, "$.A", kbusdev.Listener)
			}
			return func() { // the one that others hide
				_ = first.Unbind("$.A", kbusdev.Listener)
				bind(b, first, "$.A", kbusdev.Listener)
				for range 2 {
					_ = other.Unbind("$.A", kbusdev.Listener)
					bind(b, other, "$.A", kbusdev.Listener)
				}
			}
		}},
		{"bind and unbind/queued", func(b *testing.B, bus *membus.Bus, others int) func() {
			k, sender := unlimited(b, open(b, bus)), open(b, bus)
			bind(b, k, "$.Other", kbusdev.Listener)
			for range others {
				send(b, sender, kbusdev.Message{Name: "$.Other"})
			}
			return func() {
				bind(b, k, "$.A", kbusdev.Listener)
				send(b, sender, kbusdev.Message{Name: "$.A"})
				_ = k.Unbind("$.A", kbusdev.Listener)
			}
		}},
		{"request and reply/open requests", func(b *testing.B, bus *membus.Bus, others int) func() {
			asker, replier := unlimited(b, open(b, bus)), unlimited(b, open(b, bus))
			bind(b, replier, "$.Q", kbusdev.Replier)
			for range others {
				send(b, asker, kbusdev.Message{Name: "$.Q", Flags: kbusdev.WantReply})
				recv(b, replier)
			}
			return func() {
				id := send(b, asker, kbusdev.Message{Name: "$.Q", Flags: kbusdev.WantReply})
				_, _ = replier.Recv(ctx)
				send(b, replier, kbusdev.Message{Name: "$.Q", InReplyTo: id, To: asker.ID()})
				_, _ = asker.Recv(ctx)
			}
		}},
		{"send and recv/sends that wait elsewhere", func(b *testing.B, bus *membus.Bus, others int) func() {
			full := open(b, bus)
			bind(b, full, "$.Full", kbusdev.Listener)
			_, _ = full.MaxMessages(1)
			send(b, open(b, bus), kbusdev.Message{Name: "$.Full"})
			wait := kbusdev.AppendEntire(nil, kbusdev.HostLayout, &kbusdev.Message{Name: "$.Full", Flags: kbusdev.AllOrWait})
			for range others {
				k := open(b, bus)
				_, _ = k.Write(wait)
				_, _ = k.Commit()
			}
			k, sender := open(b, bus), open(b, bus)
			bind(b, k, "$.A", kbusdev.Listener)
			return func() {
				send(b, sender, kbusdev.Message{Name: "$.A"})
				_, _ = k.Recv(ctx)
			}
		}},
		{"FindReplier/bindings", func(b *testing.B, bus *membus.Bus, others int) func() {
			k := open(b, bus)
			bind(b, k, "$.A.*", kbusdev.Replier)
			for i := range others {
				bind(b, k, fmt.Sprintf("$.Other.N%d", i), kbusdev.Replier)
				bind(b, k, "$.A.B", kbusdev.Listener)
			}
			return func() {
				if _, ok := bus.FindReplier("$.A.B"); !ok {
					b.Fatal("no replier")
				}
			}
		}},
	} {
		for _, others := range []int{10, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", c.name, others), func(b *testing.B) {
				op := c.start(b, membus.New(membus.WithMaxBytes(math.MaxInt)), others)
				b.ReportAllocs()
				for b.Loop() {
					op()
				}
			})
		}
	}
}

// All names of one Ksock with messages in its queue, unbound one after the other,
// and what a Close of all of them costs: a name's share is what is shown.
func BenchmarkUnbindAll(b *testing.B) {
	for _, how := range []string{"unbind", "close"} {
		for _, n := range []int{10, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", how, n), func(b *testing.B) {
				names := make([]string, n)
				for i := range names {
					names[i] = fmt.Sprintf("$.Name.N%d", i)
				}
				done := 0
				for b.Loop() {
					b.StopTimer()
					bus := membus.New()
					k, sender := open(b, bus), open(b, bus)
					_, _ = k.MaxMessages(1 << 30)
					for i, name := range names {
						bind(b, k, name, kbusdev.Role(i%2 == 0))
					}
					for i := 1; i < n; i += 2 {
						send(b, sender, kbusdev.Message{Name: names[i]})
					}
					b.StartTimer()
					if how == "close" {
						_ = k.Close()
					} else {
						for i, name := range names {
							if err := k.Unbind(name, kbusdev.Role(i%2 == 0)); err != nil {
								b.Fatal(err)
							}
						}
					}
					done += n
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/name")
			})
		}
	}
}
