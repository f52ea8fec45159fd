package kbusdev

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev/internal/abi"
)

// A deviceKsock is an open KBUS device file. It waits in Go's runtime poller, and
// never in a blocked thread: waiter is a second descriptor of the same open file,
// made when it first waits.
type deviceKsock struct {
	device *device
	file   *os.File
	raw    syscall.RawConn
	id     KsockID
	mode   Mode
	closed chan struct{}
	once   sync.Once

	// NEXTMSG and the reads after it are one step; so are the writes and SEND.
	reading chan struct{} // a semaphore, so that waiting for it ends with a context
	taking  taking
	opening sync.Mutex
	waiter  *waiter // guarded by opening
	writing sync.Mutex
	sending sending // guarded by writing
}

func newDeviceKsock(d *device, f *os.File, raw syscall.RawConn, id KsockID, mode Mode) *deviceKsock {
	k := &deviceKsock{device: d, file: f, raw: raw, id: id, mode: mode, closed: make(chan struct{}), reading: make(chan struct{}, 1)}
	k.taking.now, k.sending.now = k.taking.take, k.sending.send
	return k
}

// ID is the Ksock's id on its device.
func (k *deviceKsock) ID() KsockID { return k.id }

// String gives the device and the id.
func (k *deviceKsock) String() string { return fmt.Sprintf("%s ksock %d", k.device, k.id) }

func (k *deviceKsock) wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) {
		err = net.ErrClosed
	}
	if name == "" {
		name = k.device.path
	}
	return &OpError{Op: op, Name: name, Err: err}
}

// control runs f on the descriptor, without waiting.
func (k *deviceKsock) control(op, name string, f func(fd uintptr) error) error {
	var err error
	if cerr := k.raw.Control(func(fd uintptr) { err = f(fd) }); cerr != nil {
		err = cerr
	}
	return k.wrap(op, name, err)
}

// again repeats what a signal has interrupted: the device's mutex answers EINTR or
// EAGAIN then, where nothing else would.
func again(f func() error) error {
	const tries = 1000
	err := f()
	for i := 0; i < tries && (errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN)); i++ {
		err = f()
	}
	return err
}

// setting runs one of the ioctls that give a u32.
func (k *deviceKsock) setting(op string, f func(fd uintptr) (uint32, error)) (v uint32, err error) {
	err = k.control(op, "", func(fd uintptr) error {
		return again(func() (err error) { v, err = f(fd); return err })
	})
	return v, err
}

// Bind binds a name.
func (k *deviceKsock) Bind(name string, as Role) error {
	return k.control("bind", name, func(fd uintptr) error { return abi.Bind(fd, bool(as), name) })
}

// Unbind unbinds a name.
func (k *deviceKsock) Unbind(name string, as Role) error {
	return k.control("unbind", name, func(fd uintptr) error { return abi.Unbind(fd, bool(as), name) })
}

// Replier asks who replies to exactly this string.
func (k *deviceKsock) Replier(name string) (id KsockID, ok bool, err error) {
	err = k.control("replier", name, func(fd uintptr) error {
		return again(func() error {
			n, found, err := abi.Replier(fd, name)
			id, ok = KsockID(n), found
			return err
		})
	})
	return id, ok, err
}

// LastSent asks for the id of the last message sent.
func (k *deviceKsock) LastSent() (id MsgID, err error) {
	err = k.control("lastsent", "", func(fd uintptr) error {
		return again(func() (err error) { id.Network, id.Serial, err = abi.LastSent(fd); return err })
	})
	return id, err
}

// NumMessages asks how many messages are queued.
func (k *deviceKsock) NumMessages() (int, error) {
	n, err := k.setting("nummsgs", abi.NumMsgs)
	return int(n), err
}

// Unreplied asks how many replies we owe.
func (k *deviceKsock) Unreplied() (int, error) {
	n, err := k.setting("unrepliedto", abi.UnrepliedTo)
	return int(n), err
}

// LenLeft asks how much of the taken message is to be read.
func (k *deviceKsock) LenLeft() (int, error) {
	n, err := k.setting("lenleft", abi.LenLeft)
	return int(n), err
}

// MaxMessages sets the bound of our queue.
func (k *deviceKsock) MaxMessages(n uint32) (uint32, error) {
	return k.setting("maxmsgs", func(fd uintptr) (uint32, error) { return abi.MaxMsgs(fd, n) })
}

// MaxMessageSize sets the device's bound on entire messages.
func (k *deviceKsock) MaxMessageSize(n uint32) (uint32, error) {
	return k.setting("maxmsgsize", func(fd uintptr) (uint32, error) { return abi.MaxMsgSize(fd, n) })
}

// OnlyOnce switches only-once.
func (k *deviceKsock) OnlyOnce(s Switch) (Switch, error) {
	v, err := k.setting("msgonlyonce", func(fd uintptr) (uint32, error) { return abi.MsgOnlyOnce(fd, uint32(s)) })
	return Switch(v), err
}

// Verbose switches the device's log.
func (k *deviceKsock) Verbose(s Switch) (Switch, error) {
	v, err := k.setting("verbose", func(fd uintptr) (uint32, error) { return abi.Verbose(fd, uint32(s)) })
	return Switch(v), err
}

// ReportReplierBinds switches bind events.
func (k *deviceKsock) ReportReplierBinds(s Switch) (Switch, error) {
	v, err := k.setting("reportreplierbinds", func(fd uintptr) (uint32, error) { return abi.ReportReplierBinds(fd, uint32(s)) })
	return Switch(v), err
}

// NewDevice makes another device.
func (k *deviceKsock) NewDevice() (uint32, error) { return k.setting("newdevice", abi.NewDevice) }

// Close closes the device; the bus answers what the Ksock owed.
func (k *deviceKsock) Close() error {
	k.once.Do(func() { close(k.closed) })
	k.opening.Lock()
	w := k.waiter
	k.waiter = nil
	k.opening.Unlock()
	if w != nil {
		_ = w.file.Close() // the Ksock goes with the last descriptor
		k.reading <- struct{}{}
		w.forget()
		<-k.reading
	}
	return k.wrap("close", "", k.file.Close())
}
