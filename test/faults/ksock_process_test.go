package faults

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a program of a process of its own, and the cable between it and its daemon.
type process struct {
	t     testing.TB
	tr    *ksockTrace
	brief brief
	home  int // the daemon
	cable *proxy
	log   tail

	mu      sync.Mutex
	current *exec.Cmd
	in      io.Writer
	exited  chan struct{} // closed when the present one has ended, and its diary is read
	hushed  bool
}

func newProcess(t testing.TB, tr *ksockTrace, home int, cable *proxy, b brief) *process {
	b.API = cable.Address
	p := &process{t: t, tr: tr, brief: b, home: home, cable: cable}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() && p.log.String() != "" {
			t.Logf("program %s:\n%s", p.brief.Name, p.log.String())
		}
	})
	return p
}

// start begins the program, or begins it again.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.brief.Process++
	text, err := json.Marshal(p.brief)
	if err != nil {
		return err
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), programVariable+"="+string(text), "GOMAXPROCS=1") // many share the machine
	cmd.Stderr = &p.log
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	p.current, p.in, p.exited = cmd, in, exited
	number := p.brief.Process
	if p.hushed {
		p.order(orderHush)
	}
	go func() { // until the process ends
		defer close(exited)
		p.hear(number, out)
		_ = cmd.Wait()
		if cmd.ProcessState.ExitCode() > 0 { // not one that was killed
			p.tr.strange(fmt.Sprintf("program %s ended with %v", p.brief.Name, cmd.ProcessState))
		}
	}()
	return nil
}

// hear reads the diary of one of the program's processes.
func (p *process) hear(number int, out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var n note
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			p.tr.strange(fmt.Sprintf("program %s has written %q", p.brief.Name, lines.Text()))
			continue
		}
		p.tr.add(p, number, n)
	}
}

// order tells the program something. It is called under mu; one that is gone does not obey.
func (p *process) order(what string) { _, _ = io.WriteString(p.in, what+"\n") }

// hush has the program say no more, and those that take its place.
func (p *process) hush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hushed = true
	p.order(orderHush)
}

// end has the program end in order, and reports whether it has within a time.
func (p *process) end(within time.Duration) bool {
	p.mu.Lock()
	p.order(orderFinish)
	exited := p.exited
	p.mu.Unlock()
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-exited:
		return true
	case <-limit.C:
		return false
	}
}

// kill ends the present process as kill -9 does, and returns when its diary is read.
func (p *process) kill() {
	p.mu.Lock()
	cmd, exited, number := p.current, p.exited, p.brief.Process
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	p.tr.kills(p, number)
	_ = cmd.Process.Kill()
	<-exited
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.current.Process.Signal(s)
}
