//go:build linux

package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// compile builds a C program of testdata.
func compile(t *testing.T, name string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("gcc is not installed")
	}
	out := filepath.Join(t.TempDir(), name)
	if msg, err := exec.Command(gcc, "-Wall", "-o", out, filepath.Join("testdata", name+".c")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	return out
}

func TestProgramsInOtherLanguages(t *testing.T) {
	dir, _ := kbusd(t)
	path := filepath.Join(dir, "kbus0")
	t.Run("C", func(t *testing.T) {
		out, err := exec.CommandContext(within(t), compile(t, "client"), path).CombinedOutput()
		if err != nil || string(out) != "ok\n" {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("Python", func(t *testing.T) {
		python, err := exec.LookPath("python3")
		if err != nil {
			t.Skip("python3 is not installed")
		}
		out, err := exec.CommandContext(within(t), python, filepath.Join("testdata", "client.py"), path).CombinedOutput()
		if err != nil || string(out) != "ok\n" {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// A program that lets the device read a page which never comes holds up itself;
// others are served within 100 ms.
func TestHeldUpDevice(t *testing.T) {
	beside(t)
	dir := deviceDir(t)
	_, log := kbusdAs(t, nil, dir)
	path := filepath.Join(dir, "kbus0")
	k := deviceKsock(t, path)
	hold := compile(t, "hold")
	var held []*exec.Cmd
	for range 3 {
		cmd := exec.Command(hold, path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		held = append(held, cmd)
		if line, _ := bufio.NewReader(out).ReadString('\n'); line != "holding\n" {
			t.Skipf("the kernel gives no userfaultfd here: %q", line)
		}
	}
	for i := range 200 {
		start := time.Now()
		if _, err := k.NumMessages(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Logf("call %d took %v", i, d) // a busy machine may be the reason: no test fails on time
		}
	}
	for _, cmd := range held {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	waitKsocks(t, dir, 1)
	if dir == "/dev" {
		return // with CUSE the programs wait for their memory themselves
	}
	limit := time.After(patience)
	for strings.Count(log.String(), "level=WARN") < len(held) { // a warning may come after the answer
		select {
		case <-limit:
			t.Fatalf("the log has no %d warnings:\n%s", len(held), log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	for _, cmd := range held { // with FUSE, the kernel lets them die when they have their answer
		if !strings.Contains(log.String(), fmt.Sprintf("pid=%d", cmd.Process.Pid)) {
			t.Errorf("the log does not name program %d", cmd.Process.Pid)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != len(held) {
		t.Errorf("%d warnings for %d programs:\n%s", n, len(held), log)
	}
}

// waitKsocks waits until only n Ksocks are left on the device.
func waitKsocks(t *testing.T, dir string, n int) {
	t.Helper()
	limit := time.After(patience)
	for {
		lines := ask(t, dir, "stats")
		if len(lines) == n+1 {
			return
		}
		select {
		case <-limit:
			t.Fatalf("want %d Ksocks:\n%s", n, strings.Join(lines, "\n"))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Two hundred processes (forty, unless the long tests run) open, bind, ask, and are killed; nothing is left of them,
// and whoever waits for one of them has an answer.
func TestLifecycleStorm(t *testing.T) {
	dir, _ := kbusd(t)
	path := filepath.Join(dir, "kbus0")
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	program := filepath.Join("testdata", "storm.py")
	asker := deviceKsock(t, path)
	if _, err := asker.MaxMessages(10000); err != nil {
		t.Fatal(err)
	}
	open := make(map[kbusdev.MsgID]bool)
	var mu sync.Mutex
	slots := make(chan struct{}, 8)
	var all sync.WaitGroup
	processes := 20
	if long() {
		processes = 200
	}
	for i := range processes {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			name := fmt.Sprintf("$.Storm.P%d", i)
			cmd := exec.Command(python, program, path, name)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Error(err)
				return
			}
			if err := cmd.Start(); err != nil {
				t.Error(err)
				return
			}
			_, _ = bufio.NewReader(out).ReadString('\n') // it has bound its name
			for range 3 {
				mu.Lock()
				id, err := asker.Send(context.Background(), &kbusdev.Message{Name: name, Flags: kbusdev.WantReply})
				if err == nil {
					open[id] = true
				} else if !errors.Is(err, syscall.EADDRNOTAVAIL) {
					t.Error(err)
				}
				mu.Unlock()
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	all.Wait()
	if len(open) == 0 {
		t.Error("no request was taken")
	}
	for range len(open) {
		m, err := asker.Recv(within(t))
		if err != nil {
			t.Fatalf("%d requests have no reply: %v", len(open), err)
		}
		if !open[m.InReplyTo] {
			t.Fatalf("a reply to nothing that is open: %+v", m)
		}
		delete(open, m.InReplyTo)
	}
	waitKsocks(t, dir, 1)
	if lines := ask(t, dir, "bindings"); len(lines) != 2 { // the device's comment, and the end
		t.Errorf("bindings are left:\n%s", strings.Join(lines, "\n"))
	}
}
