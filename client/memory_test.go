package client_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// What a program takes that is attached and idle, in the daemon and in the program: its
// session, its Ksock and its connection. The bounds of the heap are a quarter more than it
// is; how large a stack is Go decides.
func TestAttachedProgramsAreSmall(t *testing.T) {
	n := 200
	if os.Getenv("LIMPET_TEST") == "long" {
		n = 1000
	}
	api := filepath.Join(t.TempDir(), "api")
	daemonUses := startMeasured(t, api)
	daemonUses() // it serves now
	bus, err := client.Open(api)
	must(t, err)
	t.Cleanup(func() { _ = bus.Close() })
	attach := func(n int) {
		for range n {
			k, err := bus.Ksock(t.Context(), kbusdev.ReadWrite)
			must(t, err)
			t.Cleanup(func() { _ = k.Close() })
			must(t, k.Bind("$.Some.Name", kbusdev.Listener))
		}
	}
	attach(10) // what is made once
	daemonBefore, before := daemonUses(), inUse()
	attach(n)
	inDaemon, inProgram := daemonUses().minus(daemonBefore, n), inUse().minus(before, n)
	t.Logf("in the daemon %v, in the program %v", inDaemon, inProgram)
	for _, c := range []struct {
		where      string
		got        memory
		heap, most int
	}{{"daemon", inDaemon, 32 << 10, 6}, {"program", inProgram, 48 << 10, 8}} {
		if c.got.heap > c.heap || c.got.goroutines > c.most {
			t.Errorf("in the %s %v, at most %d bytes and %d stacks are right", c.where, c.got, c.heap, c.most)
		}
	}
}

// A memory is what a process has in use when all garbage is gone.
type memory struct{ heap, stacks, goroutines int }

func inUse() memory {
	for range 6 { // pools give up what they hold in two, and a stack is halved in each
		runtime.GC()
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return memory{int(s.HeapAlloc), int(s.StackInuse), runtime.NumGoroutine()}
}

// minus returns what each of n takes.
func (m memory) minus(before memory, n int) memory {
	return memory{(m.heap - before.heap) / n, (m.stacks - before.stacks) / n, (m.goroutines - before.goroutines) / n}
}

func (m memory) String() string {
	return fmt.Sprintf("%d bytes of heap, and %d of %d stacks", m.heap, m.stacks, m.goroutines)
}

const measuredDaemon = "LIMPET_MEASURED_DAEMON"

// startMeasured runs a daemon in a process of its own until the test ends. What it returns
// asks it for its memory.
func startMeasured(t *testing.T, api string) (uses func() memory) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^TestMeasuredDaemon$")
	cmd.Env = append(os.Environ(), measuredDaemon+"="+api)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return func() (m memory) {
		t.Helper()
		_, err := fmt.Fprintln(in)
		must(t, err)
		_, err = fmt.Fscanln(out, &m.heap, &m.stacks, &m.goroutines)
		must(t, err)
		return m
	}
}

// TestMeasuredDaemon is no test but the process that startMeasured starts: a daemon that
// tells its memory for each line that it reads.
func TestMeasuredDaemon(t *testing.T) {
	api := os.Getenv(measuredDaemon)
	if api == "" {
		t.Skip("it is for TestAttachedProgramsAreSmall")
	}
	ctx, cancel := context.WithCancel(t.Context())
	d, err := daemon.Open(ctx, daemon.Config{Bus: daemon.Embedded, API: &sockaddr.Address{Network: "unix", Address: api}})
	must(t, err)
	done := make(chan error)
	go func() { done <- d.Run(ctx, nil) }()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		m := inUse()
		_, err := fmt.Fprintln(os.Stdout, m.heap, m.stacks, m.goroutines)
		must(t, err)
	}
	cancel()
	must(t, <-done)
}
