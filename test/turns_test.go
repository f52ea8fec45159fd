//go:build linux

package test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A contestant is one of those that are measured in turns.
type contestant struct {
	name string
	pids []int       // the processes whose CPU time counts
	turn func(n int) // does it n times
}

// inTurns has each contestant do its work a hundred times, one after the other, again and
// again. It reports for each the time of one, and the CPU time of its processes for one, with
// what they do while others have their turn; and by how much it is dearer than the first.
func inTurns(b *testing.B, contestants ...contestant) {
	b.Helper()
	const each = 100
	took, cpu := make([]time.Duration, len(contestants)), make([]time.Duration, len(contestants))
	for i, c := range contestants {
		c.turn(each) // to warm up
		cpu[i] = -cpuOf(b, c.pids)
	}
	turns := 0
	for b.Loop() {
		for i, c := range contestants {
			start := time.Now()
			c.turn(each)
			took[i] += time.Since(start)
		}
		turns++
	}
	b.ReportMetric(0, "ns/op") // of no one
	one := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(turns*each) }
	for i, c := range contestants {
		cpu[i] += cpuOf(b, c.pids)
		if i > 0 {
			b.ReportMetric(float64(cpu[i])/float64(cpu[0]), c.name+"/"+contestants[0].name+"-cpu")
		}
		b.ReportMetric(one(took[i]), c.name+"-µs")
		b.ReportMetric(one(cpu[i]), c.name+"-cpu-µs")
	}
}

// cpuOf returns the CPU time that processes have had, by the kernel's own clock of each:
// /proc/PID/stat has the same in steps of 10 ms.
func cpuOf(b *testing.B, pids []int) (sum time.Duration) {
	b.Helper()
	const scheduler = 2 // CPUCLOCK_SCHED of the kernel
	for _, pid := range pids {
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|scheduler), &t); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(t.Nano())
	}
	return sum
}
