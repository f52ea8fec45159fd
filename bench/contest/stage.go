package contest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"time"
)

// A Setup is what all contestants share on this machine.
type Setup struct {
	// Limpetd is the path of the limpetd program.
	Limpetd string
}

// A Stage is where one measurement's processes run. It belongs to one goroutine.
type Stage struct {
	*Setup
	// Dir is an empty folder for sockets and files, with a short path.
	Dir string
	// Peers is how many daemons nobody uses are linked to the near one, beside the far one.
	Peers int
	// Processes are those that Run has started, in that order.
	Processes []*Process
}

// Run starts a process, which Close kills.
func (s *Stage) Run(cmd *exec.Cmd) error {
	p, err := StartProcess(cmd)
	if err != nil {
		return err
	}
	s.Processes = append(s.Processes, p)
	return nil
}

// Close kills every process and waits for them.
func (s *Stage) Close() {
	for _, p := range s.Processes {
		p.Kill()
	}
}

// Await blocks until something listens at the address. It fails when ctx ends, or when a
// process of the stage has exited.
func (s *Stage) Await(ctx context.Context, network, address string) error {
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			return conn.Close()
		}
		if err := s.Failed(); err != nil {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until something listens at %s: %w", address, errors.Join(ctx.Err(), err))
		}
	}
}

// Failed returns an error, with what was said last on standard error, if a process of the
// stage has exited.
func (s *Stage) Failed() error {
	for _, p := range s.Processes {
		if err := p.Failed(); err != nil {
			return err
		}
	}
	return nil
}
