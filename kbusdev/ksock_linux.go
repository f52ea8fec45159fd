package kbusdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

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
	receiver
	waiter  *os.File // guarded by opening
	opening sync.Mutex
	writing sync.Mutex
	pending bool // a SEND answered EAGAIN; guarded by writing
	buf     []byte
}

func newDeviceKsock(d *device, f *os.File, raw syscall.RawConn, id KsockID, mode Mode) *deviceKsock {
	return &deviceKsock{device: d, file: f, raw: raw, id: id, mode: mode, closed: make(chan struct{}), reading: make(chan struct{}, 1)}
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
	defer k.opening.Unlock()
	if k.waiter != nil {
		_ = k.waiter.Close() // the Ksock goes with the last descriptor
		k.waiter = nil
	}
	return k.wrap("close", "", k.file.Close())
}

// withPoller gives the descriptor that the runtime's poller knows.
func (k *deviceKsock) withPoller() (*os.File, error) {
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
	k.waiter = os.NewFile(uintptr(fd), k.device.path)
	return k.waiter, nil
}

// Next takes the next message.
func (k *deviceKsock) Next() (int, error) {
	n, err := k.setting("nextmsg", abi.NextMsg)
	return int(n), err
}

// Read reads bytes of the taken message. (os.File.Read would say io.EOF for none.)
func (k *deviceKsock) Read(b []byte) (n int, err error) {
	err = k.control("read", "", func(fd uintptr) error {
		return again(func() (err error) { n, err = unix.Read(int(fd), b); return err })
	})
	return max(n, 0), err
}

// Recv waits for the next message.
func (k *deviceKsock) Recv(ctx context.Context) (*Message, error) {
	var one [1]*Message
	if _, err := k.RecvBatch(ctx, one[:]); err != nil {
		return nil, err
	}
	return one[0], nil
}

// RecvBatch waits in the runtime's poller until a message is queued, then takes
// what there is.
func (k *deviceKsock) RecvBatch(ctx context.Context, dst []*Message) (n int, err error) {
	if len(dst) == 0 {
		return 0, nil
	}
	select {
	case k.reading <- struct{}{}: // first, for what is queued is given even when ctx has ended
	default:
		select {
		case k.reading <- struct{}{}:
		case <-ctx.Done():
			return 0, k.wrap("recv", "", ctx.Err())
		case <-k.closed:
			return 0, k.wrap("recv", "", net.ErrClosed)
		}
	}
	defer func() { <-k.reading }()
	err = k.control("recv", "", func(fd uintptr) error {
		var err error
		n, err = k.take(fd, dst)
		return err
	})
	if n > 0 {
		return n, nil
	}
	if err == nil && ctx.Err() != nil {
		err = k.wrap("recv", "", ctx.Err())
	}
	if err != nil {
		return 0, err
	}
	n, err = k.waitAndTake(ctx, dst)
	if n > 0 {
		return n, nil
	}
	return 0, k.wrap("recv", "", err)
}

func (k *deviceKsock) waitAndTake(ctx context.Context, dst []*Message) (n int, err error) {
	f, err := k.withPoller()
	if err != nil {
		return 0, err
	}
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var taking error
	err = raw.Read(func(fd uintptr) bool {
		n, taking = k.take(fd, dst)
		return n > 0 || taking != nil
	})
	switch {
	case taking != nil:
		return n, taking
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		return n, ctx.Err()
	}
	return n, err
}

// take does NEXTMSG and read, as one step, until nothing is queued or dst is full.
func (k *deviceKsock) take(fd uintptr, dst []*Message) (n int, err error) {
	for n < len(dst) {
		var size uint32
		if err := again(func() (err error) { size, err = abi.NextMsg(fd); return err }); err != nil {
			return n, err
		}
		if size == 0 {
			return n, nil
		}
		b := k.room(int(size))
		for got := 0; got < len(b); {
			var m int
			if err := again(func() (err error) { m, err = unix.Read(int(fd), b[got:]); return err }); err != nil {
				return n, err
			}
			if m <= 0 {
				return n, fmt.Errorf("a message of %d bytes ends after %d: %w", size, got, unix.EIO)
			}
			got += m
		}
		h, name, data, err := HostLayout.ParseEntire(b)
		if err != nil {
			return n, err
		}
		dst[n] = k.message(&h, name, data)
		n++
	}
	return n, nil
}

// A receiver makes messages with one allocation each, that of their data: the
// structs come from slabs, and names are mostly ones that were seen before.
type receiver struct {
	buf   []byte
	slab  []Message
	names map[string]string
}

const (
	slabSize = 32
	maxNames = 1024
)

// room gives n bytes to read into.
func (r *receiver) room(n int) []byte {
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	return r.buf[:n]
}

func (r *receiver) message(h *Header, name, data []byte) *Message {
	if len(r.slab) == 0 {
		r.slab = make([]Message, slabSize)
	}
	m := &r.slab[0]
	r.slab = r.slab[1:]
	known, ok := r.names[string(name)]
	if !ok {
		if r.names == nil || len(r.names) >= maxNames {
			r.names = make(map[string]string)
		}
		known = string(name)
		r.names[known] = known
	}
	var kept []byte
	if len(data) > 0 {
		kept = append(make([]byte, 0, len(data)), data...)
	}
	*m = MessageFrom(h, known, kept)
	return m
}

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
