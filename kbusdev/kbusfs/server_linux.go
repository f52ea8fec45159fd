package kbusfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// A Server makes the buses of a set into files, for as long as it runs.
type Server struct {
	cfg Config

	by       By
	stopping int // an eventfd, readable once the readers of CUSE's devices are to end

	mu      sync.Mutex
	major   uint32 // of the devices that CUSE has made
	devices map[int]*device
	stopped bool
	running sync.WaitGroup
	failed  chan error

	denials denials
}

// New makes a server. Run returns an error if the configuration is not valid.
func New(cfg Config) *Server {
	return &Server{cfg: cfg.withDefaults(), devices: make(map[int]*device), failed: make(chan error, 1)}
}

func (s *Server) mode() uint32 { return uint32(s.cfg.Mode.Perm()) }

// Run makes the device files and serves them until ctx ends; then they are
// removed. ready, unless nil, is called when the first ones are there. Programs
// that still have one open get ENOTCONN. It runs once.
func (s *Server) Run(ctx context.Context, ready func()) error {
	if err := s.cfg.Validate(); err != nil {
		return err
	}
	var err error
	if s.stopping, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("making an eventfd: %w", err)
	}
	defer s.stop()
	if err := s.choose(); err != nil {
		return err
	}
	for n := range s.cfg.Devices {
		if s.cfg.Set.Bus(n) == nil {
			if _, ok := s.cfg.Set.Add(); !ok {
				return fmt.Errorf("%d devices are more than there can be", s.cfg.Devices)
			}
		}
		if err := s.add(n); err != nil {
			return err
		}
	}
	if ready != nil {
		ready()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// Path is where device n appears.
func (s *Server) Path(n int) string { return filepath.Join(s.cfg.Dir, fmt.Sprintf("kbus%d", n)) }

// add mounts device n and serves it.
func (s *Server) add(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.devices[n] != nil {
		return nil
	}
	d := &device{server: s, bus: s.cfg.Set.Bus(n), number: n, path: s.Path(n), handles: make(map[uint64]*handle), failed: make(chan error, 1)}
	if err := checkAbsent(d.path); err != nil {
		return err
	}
	var err error
	switch s.by {
	case CUSE:
		d.fd, d.remove, err = s.makeCUSE(n)
	default:
		d.fd, d.remove, err = s.mount(d.path)
	}
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(d.fd, s.by == CUSE); err != nil {
		_ = d.remove()
		_ = unix.Close(d.fd)
		return fmt.Errorf("serving %s: %w", d.path, err)
	}
	s.devices[n] = d
	s.running.Go(func() {
		defer d.close()
		if err := d.serve(); err != nil {
			select {
			case s.failed <- err:
			default:
			}
		}
	})
	s.cfg.Log.Info("device is there", "path", d.path)
	return nil
}

// stop ends the readers, and with them the devices.
func (s *Server) stop() {
	s.mu.Lock()
	s.stopped = true
	for _, d := range s.devices {
		if err := d.remove(); err != nil {
			s.cfg.Log.Warn("removing a device", "path", d.path, "error", err)
		}
		if s.by == FUSE {
			_ = d.answer(endNotice()) // it fails when the device is gone, and the reader knows
		}
	}
	s.mu.Unlock()
	_, _ = unix.Write(s.stopping, order.AppendUint64(nil, 1))
	s.running.Wait()
	_ = unix.Close(s.stopping)
}

// checkAbsent clears away what a server which died has left, a dead mount or the node
// of a device that is gone, and refuses to cover anything else.
func checkAbsent(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	switch {
	case err == nil:
		_ = unix.Close(fd)
	case errors.Is(err, unix.ENOTCONN), errors.Is(err, unix.ECONNABORTED):
		if err := unmount(path); err != nil {
			return fmt.Errorf("clearing the stale device %s: %w", path, err)
		}
		return nil
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("clearing the stale device %s: %w", path, err)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("%s is there already: is the KBUS module loaded, or another kbusd running? Choose another folder with --dir", path)
}
