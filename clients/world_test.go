package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
)

// A daemon is a limpetd that can be ended, and started again at the same address.
type daemon struct {
	api    string
	args   []string
	linked bool
	log    *os.File
	cmd    *exec.Cmd
}

// A world is the daemons that stories are played on, by their network ids.
type world map[int]*daemon

func newWorld(t *testing.T) world {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	w := world{
		1: {args: []string{"--interest", "off", "--listen", link}, linked: true},
		2: {args: []string{"--interest", "off", "--connect", link}, linked: true},
		3: {args: []string{"--program-grace", "0"}},
	}
	for id, d := range w {
		d.api = filepath.Join(dir, fmt.Sprintf("api%d", id))
		d.args = append([]string{"--bus", "embedded", "--network-id", strconv.Itoa(id), "--api", d.api}, d.args...)
		log, err := os.Create(filepath.Join(dir, fmt.Sprintf("log%d", id)))
		if err != nil {
			t.Fatal(err)
		}
		d.log = log
		t.Cleanup(func() {
			d.end(syscall.SIGKILL)
			_ = log.Close()
			if said, _ := os.ReadFile(log.Name()); t.Failed() {
				t.Logf("limpetd %d:\n%s", id, said)
			}
		})
		if err := d.start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.waitLinked(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// start starts it, and returns when it answers.
func (d *daemon) start(ctx context.Context) error {
	d.cmd = exec.Command(limpetd, d.args...) // it is ended by end
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := d.ask(ctx, func(bus *client.Bus) error { _, err := bus.Bindings(ctx); return err })
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (d *daemon) ask(ctx context.Context, what func(*client.Bus) error) error {
	if _, err := os.Stat(d.api); err != nil {
		return err // a client that dials too early waits for its first backoff
	}
	bus, err := client.Open(d.api)
	if err != nil {
		return err
	}
	defer bus.Close()
	return what(bus)
}

// end ends it by a signal, and returns when it has ended.
func (d *daemon) end(signal os.Signal) {
	if d.cmd == nil || d.cmd.ProcessState != nil {
		return
	}
	_ = d.cmd.Process.Signal(signal)
	_ = d.cmd.Wait()
}

// waitLinked returns when those that are linked are so.
func (w world) waitLinked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, d := range w {
		if !d.linked || d.cmd.ProcessState != nil {
			continue
		}
		if err := d.ask(ctx, func(bus *client.Bus) error { return bus.WaitLinked(ctx, 1) }); err != nil {
			return err
		}
	}
	return nil
}
