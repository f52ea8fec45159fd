package kbusfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// Config is what a Server needs.
type Config struct {
	// Set holds the buses, in kbusdev.HostLayout. Required.
	Set *membus.Set
	// Dir is where the device files kbus0, kbus1... appear; "" is /dev.
	Dir string
	// Devices is how many there are at first, at least 1.
	Devices int
	// Mode is the files' permission bits; 0 is 0666.
	Mode fs.FileMode
	// Log gets a line for each device that appears or goes.
	Log *slog.Logger
}

// A Server makes the buses of a set into files, for as long as it runs.
type Server struct {
	cfg Config

	mu      sync.Mutex
	devices map[int]*device
	stopped bool
	running sync.WaitGroup
	failed  chan error
}

// New makes a server.
func New(cfg Config) *Server {
	if cfg.Dir == "" {
		cfg.Dir = "/dev"
	}
	if cfg.Mode == 0 {
		cfg.Mode = 0o666
	}
	if cfg.Devices < 1 {
		cfg.Devices = 1
	}
	return &Server{cfg: cfg, devices: make(map[int]*device), failed: make(chan error, 1)}
}

func (s *Server) mode() uint32 { return uint32(s.cfg.Mode.Perm()) }

// Run mounts the device files and serves them until ctx ends; then they are
// unmounted and removed. ready, unless nil, is called when the first ones are
// there. Programs that still have one open get ENOTCONN.
func (s *Server) Run(ctx context.Context, ready func()) error {
	defer s.stop()
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
	fd, err := mount(d.path, s.mode())
	if err != nil {
		return err
	}
	d.fd = fd
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

// stop unmounts everything and waits for the readers to end.
func (s *Server) stop() {
	s.mu.Lock()
	s.stopped = true
	for _, d := range s.devices {
		if err := unmount(d.path); err != nil {
			s.cfg.Log.Warn("removing a device", "path", d.path, "error", err)
		}
	}
	s.mu.Unlock()
	s.running.Wait()
}

// mount puts a FUSE file system on the file itself, so that its only node is the
// device. What a kbusd that died has left there is cleared away first.
func mount(path string, mode uint32) (int, error) {
	if fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY, 0); err == nil {
		_ = unix.Close(fd)
	} else if errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED) {
		if err := unmount(path); err != nil {
			return 0, fmt.Errorf("clearing the stale device %s: %w", path, err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, fs.FileMode(mode))
	if errors.Is(err, fs.ErrExist) {
		return 0, fmt.Errorf("%s is there already: is the KBUS module loaded, or another kbusd running? Choose another folder with --dir", path)
	}
	if err != nil {
		return 0, fmt.Errorf("making %s: %w", path, err)
	}
	_ = f.Close()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = os.Remove(path)
		return 0, fmt.Errorf("opening /dev/fuse: %w (is the fuse module loaded, and may this user open it?)", err)
	}
	opts := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,allow_other,default_permissions", fd, unix.S_IFREG|mode, os.Getuid(), os.Getgid())
	if err := unix.Mount("kbusd", path, "fuse.kbus", unix.MS_NOSUID|unix.MS_NODEV, opts); err != nil {
		_ = unix.Close(fd)
		_ = os.Remove(path)
		return 0, fmt.Errorf("mounting on %s: %w (it needs root, or CAP_SYS_ADMIN in this mount namespace)", path, err)
	}
	return fd, nil
}

func unmount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if rerr := os.Remove(path); err == nil {
		err = rerr
	}
	return err
}
