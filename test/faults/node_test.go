package faults

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
)

// A node is a limpetd and its lives.
type node struct {
	t    testing.TB
	id   int // from 0; its network id is one more
	args []string
	api  string
	log  tail

	mu      sync.Mutex
	current *life
	changed chan struct{} // closed when there is another life
}

// A life is a node's from its start to its end.
type life struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	bus    *client.Bus
	// excused is true from just before something was done to the process for which
	// its programs may lose their calls and streams.
	excused atomic.Bool
	killed  atomic.Bool // or told to stop: there will be another life
}

func newNode(t testing.TB, id int, args ...string) *node {
	return newNodeAt(t, id, filepath.Join(t.TempDir(), "api"), args...)
}

// newNodeAt gives a node whose API is at an address, host:port or a path.
func newNodeAt(t testing.TB, id int, api string, args ...string) *node {
	n := &node{t: t, id: id, api: api, changed: make(chan struct{})}
	n.args = append([]string{"--bus", "embedded", "--network-id", fmt.Sprint(id + 1), "--api", n.api}, args...)
	t.Cleanup(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.current != nil {
			_ = n.current.cmd.Process.Kill()
			<-n.current.exited
		}
		if t.Failed() {
			t.Logf("node %d, limpetd %s:\n%s", id, strings.Join(n.args, " "), n.log.String())
		}
	})
	return n
}

// start begins a life, and returns when the daemon takes calls.
func (n *node) start() error {
	l := &life{cmd: exec.Command(limpetdBin, n.args...), exited: make(chan struct{})}
	l.cmd.Stderr = &n.log
	if err := l.cmd.Start(); err != nil {
		return err
	}
	go func() { _ = l.cmd.Wait(); close(l.exited) }() // until the kill
	n.mu.Lock()
	n.current = l
	n.mu.Unlock()
	if err := n.waitAPI(l); err != nil {
		return err
	}
	bus, err := client.Open(n.api)
	if err != nil {
		return err
	}
	n.t.Cleanup(func() { _ = bus.Close() })
	n.mu.Lock()
	defer n.mu.Unlock()
	l.bus = bus
	close(n.changed)
	n.changed = make(chan struct{})
	return nil
}

func (n *node) waitAPI(l *life) error {
	ctx, cancel := context.WithTimeout(n.t.Context(), callLimit)
	defer cancel()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		network := "tcp"
		if filepath.IsAbs(n.api) {
			network = "unix"
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, n.api)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-look.C:
		case <-l.exited:
			return fmt.Errorf("node %d has stopped at its start: %v", n.id, l.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("node %d takes no calls: %w", n.id, err)
		}
	}
}

// life gives the present one; its bus is nil until it takes calls.
func (n *node) life() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.current
}

// next waits for a life with a bus that is not the one before, and gives nil when
// ctx ends first.
func (n *node) next(ctx context.Context, before *life) *life {
	for {
		n.mu.Lock()
		l, ok, changed := n.current, n.current.bus != nil, n.changed
		n.mu.Unlock()
		if ok && l != before {
			return l
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// kill ends the present life as kill -9 does.
func (n *node) kill() {
	l := n.life()
	l.excused.Store(true)
	l.killed.Store(true)
	_ = l.cmd.Process.Kill()
	<-l.exited
}

// terminate tells the present life to stop, and returns when it has.
func (n *node) terminate() error {
	l := n.life()
	l.excused.Store(true)
	l.killed.Store(true)
	n.signal(syscall.SIGTERM)
	limit := time.NewTimer(callLimit)
	defer limit.Stop()
	select {
	case <-l.exited:
		if code := l.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("node %d was told to stop and ended with %v", n.id, l.cmd.ProcessState)
		}
		return nil
	case <-limit.C:
		n.kill()
		return fmt.Errorf("node %d was told to stop and has not in %v", n.id, callLimit)
	}
}

func (n *node) signal(s syscall.Signal) { _ = n.life().cmd.Process.Signal(s) }

// memory gives what the process has in memory, in bytes.
func (n *node) memory() (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.life().cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var size, resident int
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0, err
	}
	return resident * os.Getpagesize(), nil
}

// A tail keeps the last of what is written to it.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const tailKept = 16 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 2*tailKept {
		l.b.Next(l.b.Len() - tailKept)
	}
	return l.b.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
