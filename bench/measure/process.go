package measure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the CPU time of all threads that a process has had, in user space and in
// the kernel, by the kernel's own clock of that process: /proc/PID/stat has the same in
// steps of 10 ms.
func CPU(pid int) (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED of the kernel: not by ticks
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &t); err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// A Memory is how much of a process is in RAM, in bytes.
type Memory struct {
	// Resident is now, Peak the most there ever was.
	Resident, Peak uint64
}

// RSS returns the memory of a process.
func RSS(pid int) (Memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	m, err := parseStatus(string(b))
	if err != nil {
		return Memory{}, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	return m, nil
}

func parseStatus(text string) (m Memory, err error) {
	for _, field := range []struct {
		name string
		out  *uint64
	}{{"VmRSS", &m.Resident}, {"VmHWM", &m.Peak}} {
		_, rest, found := strings.Cut(text, field.name+":")
		kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, err := strconv.ParseUint(kib, 10, 54)
		if !found || err != nil {
			return Memory{}, fmt.Errorf("/proc/PID/status has no %s in kB: %q", field.name, kib)
		}
		*field.out = n << 10
	}
	return m, nil
}
