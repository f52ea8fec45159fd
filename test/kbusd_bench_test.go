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

// The cost of a device file in user space, in one run beside what bounds it: a FUSE echo
// in another process, with nothing behind it, in turns with kbusd; a round trip through a
// pipe to another process; and the bus in this process.
//
//	go test ./test -run '^$' -bench 'BenchmarkDevice$' -benchtime 2s
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
	b.Run("membus message", func(b *testing.B) {
		b.ReportAllocs()
		send := sendAndReceive(b, membus.New())
		for b.Loop() {
			send(1)
		}
	})
	for _, c := range []struct {
		name string
		make func(*testing.B, kbusdev.Bus) func(n int)
	}{{"ioctl", ioctls}, {"message", sendAndReceive}} {
		b.Run(c.name, func(b *testing.B) {
			server, kbusdProcess := deviceBus(b)
			floor, echoProcess := fuseEcho(b)
			inTurns(b,
				contestant{"echo", []int{echoProcess.Process.Pid}, c.make(b, floor)},
				contestant{"kbusd", []int{kbusdProcess.Process.Pid}, c.make(b, server)})
		})
	}
}

func deviceBus(b *testing.B) (kbusdev.Bus, *exec.Cmd) {
	b.Helper()
	dir, cmd := kbusd(b)
	bus, err := kbusdev.OpenDevice(filepath.Join(dir, "kbus0"))
	if err != nil {
		b.Fatal(err)
	}
	return bus, cmd
}

// ioctls asks a bus the shortest question n times.
func ioctls(b *testing.B, bus kbusdev.Bus) func(n int) {
	b.Helper()
	k := openUntilEnd(b, bus)
	return func(n int) {
		for range n {
			if _, err := k.NumMessages(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// sendAndReceive sends a message and takes it, n times: on a device write, SEND, NEXTMSG
// and read.
func sendAndReceive(b *testing.B, bus kbusdev.Bus) func(n int) {
	b.Helper()
	sender, listener := openUntilEnd(b, bus), openUntilEnd(b, bus, "$.Sensors.Kitchen")
	m := &kbusdev.Message{Name: "$.Sensors.Kitchen", Data: make([]byte, 64)}
	return func(n int) {
		for range n {
			if _, err := sender.Send(b.Context(), m); err != nil {
				b.Fatal(err)
			}
			if _, err := listener.Recv(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// openUntilEnd opens a Ksock that listens to names, and closes it when the benchmark ends.
func openUntilEnd(b *testing.B, bus kbusdev.Bus, names ...string) kbusdev.Ksock {
	b.Helper()
	k := open(b, bus, names, kbusdev.Listener)
	b.Cleanup(func() { _ = k.Close() })
	return k
}
