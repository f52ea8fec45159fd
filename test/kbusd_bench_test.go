//go:build linux

package test

import (
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// The cost of a device file in user space, in one run beside what bounds it: a
// round trip through a pipe to another process, and the bus in this process.
//
//	go test ./test -run '^$' -bench Device -benchtime 2s
func BenchmarkDevice(b *testing.B) {
	b.Run("pipe round trip", func(b *testing.B) {
		cat := exec.Command("cat")
		in, err := cat.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		out, err := cat.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := cat.Start(); err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 152)
		for b.Loop() {
			if _, err := in.Write(buf); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(out, buf); err != nil {
				b.Fatal(err)
			}
		}
		_ = in.Close()
		_ = cat.Wait()
	})
	b.Run("membus message", func(b *testing.B) { sendAndReceive(b, membus.New()) })
	b.Run("kbusd message", func(b *testing.B) { sendAndReceive(b, deviceBus(b)) })
	b.Run("kbusd ioctl", func(b *testing.B) {
		k, err := deviceBus(b).Open(kbusdev.ReadWrite)
		if err != nil {
			b.Fatal(err)
		}
		defer k.Close()
		for b.Loop() {
			if _, err := k.NumMessages(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func deviceBus(b *testing.B) kbusdev.Bus {
	b.Helper()
	dir, _ := kbusd(b)
	bus, err := kbusdev.OpenDevice(filepath.Join(dir, "kbus0"))
	if err != nil {
		b.Fatal(err)
	}
	return bus
}

func sendAndReceive(b *testing.B, bus kbusdev.Bus) {
	b.Helper()
	sender := open(b, bus, nil, kbusdev.Listener)
	listener := open(b, bus, []string{"$.Sensors.Kitchen"}, kbusdev.Listener)
	defer sender.Close()
	defer listener.Close()
	m := &kbusdev.Message{Name: "$.Sensors.Kitchen", Data: make([]byte, 64)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sender.Send(b.Context(), m); err != nil {
			b.Fatal(err)
		}
		if _, err := listener.Recv(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
