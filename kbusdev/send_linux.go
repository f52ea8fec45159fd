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
	if k.sending.pending {
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
	err = k.control("send", "", func(fd uintptr) error { id, err = k.sending.commit(fd); return err })
	return id, err
}

// A sending is what Send works with, kept so that sending allocates nothing.
type sending struct {
	pending bool // a SEND answered EAGAIN
	buf     []byte
	op      string // what send was doing, and what came of it
	id      MsgID
	err     error
	now     func(fd uintptr) // send
}

// send writes the entire message in buf, and sends it.
func (s *sending) send(fd uintptr) {
	s.op = "write"
	if _, s.err = writeAll(fd, s.buf); s.err != nil {
		return
	}
	s.op = "send"
	s.id, s.err = s.commit(fd)
}

func (s *sending) commit(fd uintptr) (id MsgID, err error) {
	err = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		id.Network, id.Serial, err = abi.Send(fd)
	}
	s.pending = errors.Is(err, unix.EAGAIN)
	return id, err
}

// Discard drops what was written or is pending.
func (k *deviceKsock) Discard() error {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.sending.pending = false
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
			k.sending.pending = false
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
		k.sending.pending = false
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
		pending := k.sending.pending
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

func (k *deviceKsock) sendNow(m *Message) (MsgID, error) {
	k.writing.Lock()
	defer k.writing.Unlock()
	s := &k.sending
	if s.pending {
		return MsgID{}, k.wrap("write", m.Name, syscall.EALREADY)
	}
	s.buf, s.id, s.err = AppendEntire(s.buf[:0], HostLayout, m), MsgID{}, nil
	if err := k.raw.Control(s.now); err != nil {
		return MsgID{}, k.wrap("write", m.Name, err)
	}
	return s.id, k.wrap(s.op, m.Name, s.err)
}
