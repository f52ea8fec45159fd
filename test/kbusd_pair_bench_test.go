//go:build linux

package test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// The CPU time of two limpetd on two of kbusd's devices, linked over gRPC and, in turns
// in the same run, with the classic protocol: for a request with its reply, and for an
// announcement. "alone" has one on its way at a time, "burst" a hundred.
//
//	go test ./test -run '^$' -bench PairOnDevices -benchtime 2s
func BenchmarkPairOnDevices(b *testing.B) {
	for _, c := range []struct {
		name string
		make func(*testing.B, kbusdev.Bus, kbusdev.Bus) func(n int)
	}{
		{"request", deviceRequests},
		{"announcement/64B/alone", func(b *testing.B, x, y kbusdev.Bus) func(int) { return deviceAnnouncements(b, x, y, 64, 1) }},
		{"announcement/64B/burst", func(b *testing.B, x, y kbusdev.Bus) func(int) { return deviceAnnouncements(b, x, y, 64, 100) }},
		{"announcement/16KiB/alone", func(b *testing.B, x, y kbusdev.Bus) func(int) { return deviceAnnouncements(b, x, y, 16<<10, 1) }},
		{"announcement/16KiB/burst", func(b *testing.B, x, y kbusdev.Bus) func(int) { return deviceAnnouncements(b, x, y, 16<<10, 100) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir, _ := kbusd(b, "--devices", "4")
			var contestants []contestant
			for i, link := range []struct{ name, flags string }{{"classic", "-classic"}, {"grpc", ""}} {
				addr := filepath.Join(b.TempDir(), "link.sock")
				var pids []int
				var buses []kbusdev.Bus
				for j, flag := range []string{"--listen", "--connect"} {
					path := filepath.Join(dir, fmt.Sprintf("kbus%d", 2*i+j))
					p := limpetd(b, j+1, "--bus", path, flag+link.flags, addr)
					pids = append(pids, p.cmd.Process.Pid)
					bus, err := kbusdev.OpenDevice(path)
					if err != nil {
						b.Fatal(err)
					}
					buses = append(buses, bus)
					if j == 1 {
						p.waitLinked(b, 1)
					}
				}
				contestants = append(contestants, contestant{link.name, pids, c.make(b, buses[0], buses[1])})
			}
			inTurns(b, contestants...)
		})
	}
}

// deviceRequests asks on one bus, n times, what a replier on the other answers.
func deviceRequests(b *testing.B, x, y kbusdev.Bus) func(n int) {
	b.Helper()
	trip := busEcho(b, x, y, "$.Ask")
	return func(n int) {
		for range n {
			trip()
		}
	}
}

// deviceAnnouncements announces n messages on one bus, and takes them on the other after
// each burst.
func deviceAnnouncements(b *testing.B, x, y kbusdev.Bus, size, burst int) func(n int) {
	b.Helper()
	sender, listener := openUntilEnd(b, x), openUntilEnd(b, y, "$.Sensors.Kitchen")
	m := &kbusdev.Message{Name: "$.Sensors.Kitchen", Data: make([]byte, size)}
	return func(n int) {
		for range n / burst {
			for range burst {
				if _, err := sender.Send(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
			for range burst {
				if _, err := listener.Recv(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}
