package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A process is a daemon of the demo.
type process struct {
	network string
	args    []string
	errOut  io.Writer
	cmd     *exec.Cmd
}

// args returns the arguments of a daemon. Its times are short, for people watch.
func (d *demo) args(networkID, side string, more ...string) []string {
	return append([]string{"--bus", "embedded", "--network-id", networkID, "--api", d.api(side), "-v", "0", "--grace", "5s", "--request-hold", "1s"}, more...)
}

// start runs this program as a daemon.
func (d *demo) start(p *process) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	p.cmd = exec.Command(self, p.args...) //nolint:noctx // it is stopped with SIGTERM, so that it drains
	p.cmd.Stderr = p.errOut
	p.cmd.Env = withoutSettings(os.Environ())
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting a daemon: %w", err)
	}
	d.say("  network %s: limpetd %s   (process %d)", p.network, strings.Join(p.args, " "), p.cmd.Process.Pid)
	return nil
}

// stop stops the daemon in good order.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	kill.Stop()
}

// kill kills it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// withoutSettings keeps the caller's LIMPETD_ variables from the daemons.
func withoutSettings(environ []string) []string {
	var kept []string
	for _, v := range environ {
		if !strings.HasPrefix(v, envPrefix) {
			kept = append(kept, v)
		}
	}
	return kept
}
