package kbusdev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev/internal/abi"
)

// A device is the bus behind a KBUS device file.
type device struct {
	path string
	proc string // procBindings, but in tests
}

// OpenDevice gives the bus behind a KBUS device file, the module's or kbusd's. It
// looks whether the file is there, no more: its first Open tells what is wrong
// with it. Errors wrap the errno, and those of a missing or forbidden file tell
// the way out.
func OpenDevice(path string) (Bus, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, &OpError{Op: "open", Name: path, Err: hint(err)}
	}
	return &device{path: path, proc: procBindings}, nil
}

// String is the device's path.
func (d *device) String() string { return d.path }

// Open opens the device.
func (d *device) Open(mode Mode) (Ksock, error) {
	flags, ok := map[Mode]int{ReadOnly: unix.O_RDONLY, WriteOnly: unix.O_WRONLY, ReadWrite: unix.O_RDWR}[mode]
	if !ok {
		return nil, &OpError{Op: "open", Name: d.path, Err: syscall.EINVAL}
	}
	// Nothing of a KBUS device ever blocks. Left as it is, the file is not with the
	// runtime's poller: only a Ksock that waits for messages needs that, and a poll
	// from the background would finish a pending send.
	fd, err := unix.Open(d.path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &OpError{Op: "open", Name: d.path, Err: hint(err)}
	}
	id, err := abi.KsockID(uintptr(fd))
	if err != nil {
		_ = unix.Close(fd)
		return nil, &OpError{Op: "open", Name: d.path, Err: hint(err)}
	}
	f := os.NewFile(uintptr(fd), d.path)
	raw, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, &OpError{Op: "open", Name: d.path, Err: err}
	}
	return newDeviceKsock(d, f, raw, KsockID(id), mode), nil
}

// hint adds the way out to the errnos that a person can do something about.
func hint(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w (is the KBUS module loaded? kbusd can serve the device without it, and --bus embedded needs none)", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (its udev rule gives it mode 0666; see ls -l)", err)
	case errors.Is(err, unix.ENOTTY):
		return fmt.Errorf("%w (it is no KBUS device, or this program and the kernel differ in pointer size)", err)
	case errors.Is(err, unix.ENOTCONN):
		return fmt.Errorf("%w (the kbusd that served it has died; start it again)", err)
	}
	return err
}

// LosesUnread reports whether the bus loses a stateful request whose replier goes away
// before reading it, so that nobody ever answers it. The kernel module does; the buses
// that kbusd serves do not.
func (d *device) LosesUnread() bool {
	if filepath.Dir(d.path) != "/dev" {
		return false
	}
	_, err := os.Stat(d.proc)
	return err == nil
}

// procBindings is where the module lists the bindings of all devices.
const procBindings = "/proc/kbus/bindings"

// Bindings asks the module, in /proc/kbus/bindings, else whoever serves the device
// from user space. If neither answers, the error wraps errors.ErrUnsupported. A list
// that is not whole is an error.
//
// The module makes the list when it is first read, and holds a device's lock while it
// writes down that device's bindings: they are those of one moment.
func (d *device) Bindings() ([]Binding, error) {
	var number uint32
	if _, err := fmt.Sscanf(filepath.Base(d.path), "kbus%d", &number); err != nil {
		return nil, fmt.Errorf("bindings of %s: its number is not in its name: %w", d.path, errors.ErrUnsupported)
	}
	list, end, err := d.listBindings()
	if err != nil {
		return nil, fmt.Errorf("bindings of %s: %w", d.path, err)
	}
	defer list.Close() //nolint:errcheck // only read
	all, err := parseBindings(list, number, end)
	if err != nil {
		return nil, fmt.Errorf("bindings of %s: %w", d.path, err)
	}
	return all, nil
}

// CountBindings counts what Bindings lists.
func (d *device) CountBindings() (int, error) {
	all, err := d.Bindings()
	return len(all), err
}

// listBindings gives the lines, of all devices beside this one too, and the line that
// must be the last, "" if any may be.
func (d *device) listBindings() (_ io.ReadCloser, end string, _ error) {
	dir := filepath.Dir(d.path)
	if dir == "/dev" {
		f, err := os.Open(d.proc)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, "", err
		}
	}
	answer, err := AskControl(context.Background(), ControlSocket(dir), ControlBindings)
	if err != nil {
		return nil, "", fmt.Errorf("there is no %s, and no kbusd at %s: %w", d.proc, ControlSocket(dir), errors.ErrUnsupported)
	}
	return answer, ControlEnd, nil
}
