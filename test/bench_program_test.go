package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
)

// The benchmarks of two programs on one daemon's bus, over its Unix socket:
//
//	go test ./test -run '^$' -bench Program -benchtime 2s -cpu 2
//
// "attach" is with Ksocks over Attach, "unary" with the calls Send, Call, Listen and Serve,
// "here" with the bus in this process.

// A line is how a program sends, and one hears it.
type line struct {
	send  func(m *kbusdev.Message) error
	flush func() error
	hear  func(dst []*kbusdev.Message) (int, error) // fails when the benchmark is over
}

func BenchmarkProgramOneWay(b *testing.B) {
	for _, size := range sizes {
		for _, kind := range []struct {
			name string
			make func(*testing.B, *node, string) line
		}{{"here", lineHere}, {"attach", lineAttach}, {"unary", lineUnary}} {
			b.Run(size.name+"/"+kind.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size.n))
				along(b, kind.make(b, start(b, 1, limpet.Config{}, ""), "$.Sensors.Kitchen"), size.n)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
			})
		}
	}
}

// along sends along a line, never so far ahead that a queue is full.
func along(b *testing.B, l line, size int) {
	b.Helper()
	ahead := min(16384, 16<<20/size)
	credit := make(chan int, ahead)
	go func() {
		msgs := make([]*kbusdev.Message, 256)
		for {
			n, err := l.hear(msgs)
			if err != nil {
				return
			}
			credit <- n
		}
	}()
	m := &kbusdev.Message{Name: "$.Sensors.Kitchen", Data: make([]byte, size)}
	inFlight := 0
	arrived := func() {
		select {
		case n := <-credit:
			inFlight -= n
		case <-time.After(20 * time.Second):
			b.Fatalf("%d messages have not arrived", inFlight)
		}
	}
	for b.Loop() {
		for inFlight >= ahead {
			arrived()
		}
		if err := l.send(m); err != nil {
			b.Fatal(err)
		}
		inFlight++
	}
	if err := l.flush(); err != nil {
		b.Fatal(err)
	}
	for inFlight > 0 {
		arrived()
	}
}

func lineHere(b *testing.B, d *node, name string) line {
	b.Helper()
	from, to := open(b, d.bus, nil, kbusdev.Listener), open(b, d.bus, []string{name}, kbusdev.Listener)
	b.Cleanup(func() { _ = to.Close() })
	return line{
		send:  func(m *kbusdev.Message) error { _, err := from.Send(context.Background(), m); return err },
		flush: func() error { return nil },
		hear:  func(dst []*kbusdev.Message) (int, error) { return to.RecvBatch(context.Background(), dst) },
	}
}

func dialAPI(b *testing.B, d *node) *client.Bus {
	b.Helper()
	bus, err := client.Open(d.api)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = bus.Close() })
	return bus
}

func ksockOf(b *testing.B, d *node, names []string, as kbusdev.Role) *client.Ksock {
	b.Helper()
	k := open(b, dialAPI(b, d).Device(), names, as).(*client.Ksock)
	b.Cleanup(func() { _ = k.Close() })
	return k
}

func lineAttach(b *testing.B, d *node, name string) line {
	b.Helper()
	from, to := ksockOf(b, d, nil, kbusdev.Listener), ksockOf(b, d, []string{name}, kbusdev.Listener)
	if err := to.Prefetch(true); err != nil {
		b.Fatal(err)
	}
	return line{
		send:  func(m *kbusdev.Message) error { return from.Post(context.Background(), m) },
		flush: func() error { return from.Flush(context.Background()) },
		hear:  func(dst []*kbusdev.Message) (int, error) { return to.RecvBatch(context.Background(), dst) },
	}
}

func lineUnary(b *testing.B, d *node, name string) line {
	b.Helper()
	bus := dialAPI(b, d)
	to, err := bus.Listen(b.Context(), client.ListenConfig{Names: []string{name}, MaxMessages: 65536})
	if err != nil {
		b.Fatal(err)
	}
	return line{
		send:  func(m *kbusdev.Message) error { _, err := bus.Send(context.Background(), m); return err },
		flush: func() error { return nil },
		hear: func(dst []*kbusdev.Message) (int, error) {
			m, err := to.Recv()
			dst[0] = m
			return 1, err
		},
	}
}

// Round trips: a request of one program, the reply of another, one at a time.
func BenchmarkProgramRoundTrip(b *testing.B) {
	q := &kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply, Data: make([]byte, 64)}
	echo := func(b *testing.B, k, asker kbusdev.Ksock) {
		b.Helper()
		go func() {
			for {
				q, err := k.Recv(context.Background())
				if err != nil {
					return
				}
				_, _ = k.Send(context.Background(), &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: q.Data})
			}
		}()
		b.Cleanup(func() { _ = k.Close() })
		roundTrips(b, func() {
			if _, err := asker.Send(context.Background(), q); err != nil {
				b.Fatal(err)
			}
			if _, err := asker.Recv(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
	b.Run("here", func(b *testing.B) {
		d := start(b, 1, limpet.Config{}, "")
		echo(b, open(b, d.bus, []string{"$.Ask"}, kbusdev.Replier), open(b, d.bus, nil, kbusdev.Listener))
	})
	for _, prefetch := range []bool{false, true} {
		b.Run(fmt.Sprintf("attach/prefetch=%v", prefetch), func(b *testing.B) {
			d := start(b, 1, limpet.Config{}, "")
			replier, asker := ksockOf(b, d, []string{"$.Ask"}, kbusdev.Replier), ksockOf(b, d, nil, kbusdev.Listener)
			for _, k := range []*client.Ksock{replier, asker} {
				if err := k.Prefetch(prefetch); err != nil {
					b.Fatal(err)
				}
			}
			echo(b, replier, asker)
		})
	}
	b.Run("unary", func(b *testing.B) {
		bus := dialAPI(b, start(b, 1, limpet.Config{}, ""))
		replier, err := bus.Serve(b.Context(), 0, "$.Ask")
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for {
				q, err := replier.Recv()
				if err != nil {
					return
				}
				_ = replier.Reply(q, "", q.Data)
			}
		}()
		roundTrips(b, func() {
			if _, err := bus.Call(context.Background(), q); err != nil {
				b.Fatal(err)
			}
		})
	})
}
