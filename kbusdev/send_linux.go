package kbusdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev/internal/abi"
)

// Write adds bytes to the message being written. The module would lose a pending
// send, and crash later, so it is not asked while there is one.
func (k *deviceKsock) Write(b []byte) (n int, err error) {
	k.writing.Lock()
	defer k.writing.Unlock()
	if k.pending {
		return 0, k.wrap("write", "", syscall.EALREADY)
	}
	err = k.control("write", "", func(fd uintptr) error { n, err = writeAll(fd, b); return err })
	return n, err
}

func writeAll(fd uintptr, b []byte) (n int, err error) {
	for n < len(b) {
		var m int
		if err := again(func() (err error) { m, err = unix.Write(int(fd), b[n:]); return err }); err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// Commit sends what was written.
func (k *deviceKsock) Commit() (id MsgID, err error) {
	k.writing.Lock()
	defer k.writing.Unlock()
	err = k.control("send", "", func(fd uintptr) error { id, err = k.commit(fd); return err })
	return id, err
}

func (k *deviceKsock) commit(fd uintptr) (id MsgID, err error) {
	err = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		id.Network, id.Serial, err = abi.Send(fd)
	}
	k.pending = errors.Is(err, unix.EAGAIN)
	return id, err
}

// Discard drops what was written or is pending.
func (k *deviceKsock) Discard() error {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.pending = false
	return k.control("discard", "", abi.Discard)
}

// poll asks the device what is ready now. It also finishes a pending send.
func poll(fd uintptr) (r Readiness, err error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLOUT}}
	for {
		_, err = unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return Readiness{In: fds[0].Revents&unix.POLLIN != 0, Out: fds[0].Revents&unix.POLLOUT != 0}, err
}

// Poll tells what is ready.
func (k *deviceKsock) Poll() (r Readiness, err error) {
	k.writing.Lock()
	defer k.writing.Unlock()
	err = k.control("poll", "", func(fd uintptr) error {
		if r, err = poll(fd); err == nil && r.Out {
			k.pending = false
		}
		return err
	})
	return r, err
}

// tryPending finishes the pending send if there is room: that happens inside the
// device's poll.
func (k *deviceKsock) tryPending(fd uintptr) error {
	r, err := poll(fd)
	if r.Out {
		k.pending = false
	}
	return err
}

// Send writes m and sends it; with AllOrWait it waits until ctx ends.
func (k *deviceKsock) Send(ctx context.Context, m *Message) (id MsgID, err error) {
	if err := k.checkBeforeWriting(m); err != nil {
		return id, k.wrap("write", m.Name, err)
	}
	id, err = k.sendNow(m)
	if !errors.Is(err, unix.EAGAIN) {
		return id, err
	}
	// epoll never wakes for a pending send (its hook is installed only once), so look
	// again on a timer.
	wait := 100 * time.Microsecond
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			_ = k.Discard()
			return id, k.wrap("send", m.Name, fmt.Errorf("%w: %w", unix.EAGAIN, ctx.Err()))
		case <-k.closed:
			return id, k.wrap("send", m.Name, net.ErrClosed)
		}
		wait = min(2*wait, 10*time.Millisecond)
		k.writing.Lock()
		perr := k.control("send", m.Name, k.tryPending)
		pending := k.pending
		k.writing.Unlock()
		if perr != nil || !pending {
			return id, perr
		}
	}
}

// checkBeforeWriting refuses what would be written for nothing; the device judges
// the rest.
func (k *deviceKsock) checkBeforeWriting(m *Message) error {
	switch {
	case !k.mode.CanWrite():
		return syscall.EBADF
	case m.Name == "":
		return syscall.EINVAL
	case len(m.Name) > MaxNameLen:
		return syscall.ENAMETOOLONG
	case len(m.Data) > AbsoluteMaxMessageSize:
		return syscall.EMSGSIZE
	}
	return nil
}

func (k *deviceKsock) sendNow(m *Message) (id MsgID, err error) {
	k.writing.Lock()
	defer k.writing.Unlock()
	if k.pending {
		return id, k.wrap("write", m.Name, syscall.EALREADY)
	}
	k.buf = AppendEntire(k.buf[:0], HostLayout, m)
	err = k.control("write", m.Name, func(fd uintptr) error { _, err := writeAll(fd, k.buf); return err })
	if err != nil {
		return id, err
	}
	err = k.control("send", m.Name, func(fd uintptr) error { id, err = k.commit(fd); return err })
	return id, err
}
