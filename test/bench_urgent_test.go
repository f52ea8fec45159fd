package test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// How long an URGENT announcement takes to another bus while others fill the link:
//
//	go test ./test -run '^$' -bench Urgent -benchtime 300x -cpu 2
//
// "idle" is with nothing else on the link.
func BenchmarkUrgent(b *testing.B) {
	for _, behind := range []struct {
		name string
		size int
	}{{"idle", -1}, {"64B", 64}, {"1KiB", 1 << 10}, {"64KiB", 64 << 10}, {"398KiB", 398 << 10}} {
		b.Run("unix/"+behind.name, func(b *testing.B) { urgent(b, behind.size) })
	}
}

func urgent(b *testing.B, size int) {
	x, y := pairOf(b, "", "unix")
	sender := open(b, x.bus, nil, kbusdev.Listener)
	listener := open(b, y.bus, []string{"$.Fire"}, kbusdev.Listener)
	for _, k := range []kbusdev.Ksock{sender, listener} { // of both buses
		if _, err := k.MaxMessageSize(kbusdev.AbsoluteMaxMessageSize); err != nil {
			b.Fatal(err)
		}
	}
	crowd := open(b, y.bus, []string{"$.Sensors.*"}, kbusdev.Listener)
	for _, name := range []string{"$.Fire", "$.Sensors.Kitchen"} {
		for !x.node.Peerings()[0].Wants(name) {
			runtime.Gosched()
		}
	}
	if size >= 0 {
		ahead := max(4*link.MaxBatchBytes, 4<<20) / max(size, 64) // several windows, so that it is always full
		flood(b, open(b, x.bus, nil, kbusdev.Listener), crowd, &kbusdev.Message{Name: "$.Sensors.Kitchen", Data: make([]byte, size)}, ahead)
	}
	m := &kbusdev.Message{Name: "$.Fire", Flags: kbusdev.Urgent}
	roundTrips(b, func() {
		if _, err := sender.Send(context.Background(), m); err != nil {
			b.Fatal(err)
		}
		if _, err := listener.Recv(context.Background()); err != nil {
			b.Fatal(err)
		}
	})
}

// flood has a message sent again and again until the benchmark ends, so many ahead of what
// has been heard.
func flood(b *testing.B, from, to kbusdev.Ksock, m *kbusdev.Message, ahead int) {
	ctx, cancel := context.WithCancel(context.Background())
	credit := make(chan struct{}, ahead)
	for range ahead {
		credit <- struct{}{}
	}
	flows, heard := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(heard)
		first := sync.OnceFunc(func() { close(flows) })
		msgs := make([]*kbusdev.Message, 256)
		for {
			n, err := to.RecvBatch(ctx, msgs)
			if err != nil {
				return
			}
			for range n {
				credit <- struct{}{}
			}
			first()
		}
	}()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for {
			select {
			case <-credit:
			case <-ctx.Done():
				return
			}
			if _, err := from.Send(ctx, m); err != nil {
				b.Errorf("filling the link: %v", err)
				return
			}
		}
	}()
	b.Cleanup(func() { cancel(); <-heard; <-sent })
	select {
	case <-flows:
	case <-sent:
	}
}
