package measure

import (
	"bytes"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A Machine is where something was measured.
type Machine struct {
	// CPU is the model's name, or "unknown".
	CPU string
	// Cores is how many this process may use.
	Cores int
	// Kernel and Go are versions.
	Kernel, Go string
	// Load is /proc/loadavg when ThisMachine was called.
	Load string
}

// ThisMachine describes the machine as it is now.
func ThisMachine() Machine {
	m := Machine{CPU: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version() + " " + runtime.GOARCH, Kernel: "unknown", Load: "unknown"}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = cpuModel(string(b))
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		release, _, _ := bytes.Cut(name.Release[:], []byte{0})
		m.Kernel = string(release)
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(b))[:3], " ")
	}
	return m
}

func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
