package kbusdev

import (
	"context"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A waiter is a second descriptor of a Ksock's open file, which the runtime's
// poller knows. All but file is used by one reader at a time.
type waiter struct {
	file  *os.File
	raw   syscall.RawConn
	ready func(fd uintptr) bool // takes, and says whether the wait is over

	// The context whose end ends the wait. It stays watched from one Recv to the
	// next, which is mostly called with the same.
	done   <-chan struct{}
	unwind func() bool
}

// withPoller gives the Ksock's waiter, made when it first waits.
func (k *deviceKsock) withPoller() (*waiter, error) {
	k.opening.Lock()
	defer k.opening.Unlock()
	select {
	case <-k.closed:
		return nil, net.ErrClosed
	default:
	}
	if k.waiter != nil {
		return k.waiter, nil
	}
	var fd int
	var err error
	if cerr := k.raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	w := &waiter{file: os.NewFile(uintptr(fd), k.device.path)}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		_ = w.file.Close()
		return nil, err
	}
	t := &k.taking
	w.ready = func(fd uintptr) bool {
		t.take(fd)
		return t.n > 0 || t.err != nil
	}
	k.waiter = w
	return w, nil
}

// hasWaited reports whether the Ksock has a waiter.
func (k *deviceKsock) hasWaited() bool {
	k.opening.Lock()
	defer k.opening.Unlock()
	return k.waiter != nil
}

// watch has the end of ctx end the wait.
func (w *waiter) watch(ctx context.Context) error {
	if w.unwind != nil && w.done == ctx.Done() {
		return nil
	}
	w.forget()
	if err := w.file.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	w.done = ctx.Done()
	w.unwind = context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })
	return nil
}

// forget watches no context any more. An end that is on its way may still come.
func (w *waiter) forget() {
	if w.unwind != nil {
		w.unwind()
	}
	w.unwind, w.done = nil, nil
}
