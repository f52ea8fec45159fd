package kbusfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const cusePath = "/dev/cuse"

// cuseClass is where the kernel lists the devices that CUSE has made, on all of
// the machine.
const cuseClass = "/sys/class/cuse/"

// makeCUSE makes device n, which is there until fd is closed.
func (s *Server) makeCUSE(n int) (fd int, remove func() error, err error) {
	path, name := s.Path(n), fmt.Sprintf("kbus%d", n)
	if _, err := os.Stat(cuseClass + name); err == nil {
		return 0, nil, fmt.Errorf("making %s: there is a %s%s already: is another kbusd running?", path, cuseClass, name)
	}
	fd, err = unix.Open(cusePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, nil, &os.PathError{Op: "open", Path: cusePath, Err: err}
	}
	var number uint64
	if err = s.nameCUSE(fd, n, name); err == nil {
		number, remove, err = s.node(path, name)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, nil, fmt.Errorf("making %s: %w", path, err)
	}
	if s.major == 0 {
		s.major = unix.Major(number)
	}
	return fd, remove, nil
}

// nameCUSE answers the kernel's first request, and with that the device is there.
// The first device takes the minor number 0 of a major number that the kernel
// chooses. The others have minor numbers beside it: the kernel has not enough
// major numbers for 256 devices.
func (s *Server) nameCUSE(fd, n int, name string) error {
	q, err := firstRequest(fd, opCuseInit)
	if err != nil {
		return fmt.Errorf("starting with %s: %w", cusePath, err)
	}
	minor := uint32(0)
	if s.major != 0 {
		minor = uint32(n)
	}
	if _, err := unix.Write(fd, appendReply(nil, q.unique, 0, cuseInitReply(name, s.major, minor))); err != nil {
		return fmt.Errorf("naming the device: %w", err)
	}
	return nil
}

// node sees to the device's file: where /dev is no devtmpfs, as in containers, it
// is ours to make.
func (s *Server) node(path, name string) (number uint64, remove func() error, err error) {
	remove = func() error { return nil } // the kernel does it
	var st unix.Stat_t
	err = unix.Stat(path, &st)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if number, err = numberOf(name); err != nil {
			return 0, nil, fmt.Errorf("the kernel has not made the device: %w", err)
		}
		if err := unix.Mknod(path, unix.S_IFCHR|s.mode(), int(number)); err != nil {
			return 0, nil, fmt.Errorf("mknod: %w", err)
		}
		remove = func() error { return os.Remove(path) }
	case err != nil:
		return 0, nil, err
	default:
		number = uint64(st.Rdev) //nolint:unconvert // it is narrower on some machines
	}
	if err := os.Chmod(path, s.cfg.Mode.Perm()); err != nil {
		_ = remove()
		return 0, nil, err
	}
	return number, remove, nil
}

// numberOf gives the number of a device that CUSE has made.
func numberOf(name string) (uint64, error) {
	number, err := os.ReadFile(cuseClass + name + "/dev")
	if err != nil {
		return 0, err
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(strings.TrimSpace(string(number)), "%d:%d", &major, &minor); err != nil {
		return 0, fmt.Errorf("the device's number %q: %w", number, err)
	}
	return unix.Mkdev(major, minor), nil
}
