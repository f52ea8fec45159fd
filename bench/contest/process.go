package contest

import (
	"bytes"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
)

// A Process is a child of the benchmark. The kernel kills it when the benchmark dies.
type Process struct {
	cmd    *exec.Cmd
	stderr *tail
	exited chan struct{}
	err    error // valid when exited is closed
}

// StartProcess starts cmd, and keeps the last of what it says on standard error.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, stderr: new(tail), exited: make(chan struct{})}
	cmd.Stderr = p.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	go func() {
		defer close(p.exited)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited returns a channel that is closed when the process has exited.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Kill ends the process at once and waits for it. Killing again does nothing.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Failed returns an error if the process has exited.
func (p *Process) Failed() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s exited (%v); it said last: %s", p.cmd.Path, p.cmd.ProcessState, p.stderr)
	default:
		return nil
	}
}

// tail keeps the last bytes that were written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - tailBytes; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.b) == 0 {
		return "nothing"
	}
	return string(bytes.TrimSpace(t.b))
}
