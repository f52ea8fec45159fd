package kbusfs

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// A device is one bus behind one mounted file.
type device struct {
	server *Server
	bus    *membus.Bus
	path   string
	fd     int

	handles    map[uint64]*handle // the reader's own
	lastHandle uint64
	out        []byte
}

// A handle is one open of the file: a Ksock.
type handle struct {
	ksock *membus.Ksock

	mu    sync.Mutex
	kh    uint64 // the kernel's name for whoever polls
	armed bool
}

// serve reads and answers until the file is unmounted.
func (d *device) serve() error {
	buf := make([]byte, maxWrite+64<<10)
	for {
		n, err := unix.Read(d.fd, buf)
		switch {
		case errors.Is(err, unix.ENODEV):
			return nil // unmounted
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOENT):
			continue
		case err != nil:
			return fmt.Errorf("serving %s: reading from the kernel: %w", d.path, err)
		}
		r, ok := parseRequest(buf[:n])
		if !ok {
			return fmt.Errorf("serving %s: the kernel sent %d bytes that are no request", d.path, n)
		}
		payload, errno, answer := d.handle(&r)
		if !answer {
			continue
		}
		d.out = appendReply(d.out[:0], r.unique, uint32(errno), payload)
		// ENOENT: the caller was killed and waits no more.
		if _, err := unix.Write(d.fd, d.out); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("serving %s: answering the kernel: %w", d.path, err)
		}
	}
}

// close drops every Ksock, when the file is gone.
func (d *device) close() {
	for _, h := range d.handles {
		_ = h.ksock.Close()
	}
	_ = unix.Close(d.fd)
}

// handle does one request.
func (d *device) handle(r *request) (payload []byte, errno syscall.Errno, answer bool) {
	switch r.opcode {
	case opForget, opBatchForget:
		return nil, 0, false
	case opInit:
		return initReply(r.body), 0, true
	case opGetattr, opSetattr:
		return attrReply(unix.S_IFREG|d.server.mode(), 0, 0), 0, true
	case opOpen:
		payload, errno = d.open(r)
	case opRelease:
		errno = d.release(r)
	case opRead:
		payload, errno = d.read(r)
	case opWrite:
		payload, errno = d.write(r)
	case opIoctl:
		payload, errno = d.ioctl(r)
	case opPoll:
		payload, errno = d.poll(r)
	case opStatfs:
		payload = make([]byte, 80)
	case opFsync, opDestroy:
	default:
		errno = unix.ENOSYS // INTERRUPT and FLUSH among them: the kernel asks no more
	}
	return payload, errno, true
}

func (d *device) open(r *request) ([]byte, syscall.Errno) {
	if len(r.body) < 8 {
		return nil, unix.EIO
	}
	mode := map[uint32]kbusdev.Mode{
		unix.O_RDONLY: kbusdev.ReadOnly, unix.O_WRONLY: kbusdev.WriteOnly, unix.O_RDWR: kbusdev.ReadWrite,
	}[order.Uint32(r.body)&unix.O_ACCMODE]
	k, err := d.bus.Open(mode)
	if err != nil {
		return nil, errnoOf(err)
	}
	h := &handle{ksock: k.(*membus.Ksock)} //nolint:forcetypeassert // a membus has no others
	d.lastHandle++
	d.handles[d.lastHandle] = h
	h.ksock.OnChange(func() { h.wake(d.fd) })
	return openReply(d.lastHandle), 0
}

// wake tells the kernel that polling again is worth while, once for each arming.
// It is called under the bus's lock, right after the change.
func (h *handle) wake(fd int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.armed {
		return
	}
	h.armed = false
	b := order.AppendUint32(make([]byte, 0, 24), 24)
	b = order.AppendUint32(b, notifyPoll)
	b = order.AppendUint64(b, 0)
	b = order.AppendUint64(b, h.kh)
	_, _ = unix.Write(fd, b) // it fails only when nobody polls any more
}

func (d *device) find(r *request, size int) (*handle, syscall.Errno) {
	if len(r.body) < size {
		return nil, unix.EIO
	}
	h := d.handles[order.Uint64(r.body)]
	if h == nil {
		return nil, unix.EBADF
	}
	return h, 0
}

func (d *device) release(r *request) syscall.Errno {
	h, errno := d.find(r, 8)
	if errno != 0 {
		return errno
	}
	delete(d.handles, order.Uint64(r.body))
	_ = h.ksock.Close()
	return 0
}

func (d *device) read(r *request) ([]byte, syscall.Errno) {
	h, errno := d.find(r, 24)
	if errno != 0 {
		return nil, errno
	}
	b := make([]byte, min(order.Uint32(r.body[16:]), maxWrite))
	n, err := h.ksock.Read(b)
	return b[:n], errnoOf(err)
}

func (d *device) write(r *request) ([]byte, syscall.Errno) {
	h, errno := d.find(r, 40)
	if errno != 0 {
		return nil, errno
	}
	data := r.body[40:]
	if size := int(order.Uint32(r.body[16:])); size <= len(data) {
		data = data[:size]
	}
	n, err := h.ksock.Write(data)
	return twoWords(uint32(n)), errnoOf(err)
}

// poll arms before it looks, so that no change is missed in between.
func (d *device) poll(r *request) ([]byte, syscall.Errno) {
	h, errno := d.find(r, 24)
	if errno != 0 {
		return nil, errno
	}
	if order.Uint32(r.body[16:])&pollSchedule != 0 {
		h.mu.Lock()
		h.kh, h.armed = order.Uint64(r.body[8:]), true
		h.mu.Unlock()
	}
	ready, err := h.ksock.Poll()
	if err != nil {
		return nil, errnoOf(err)
	}
	var events uint32
	if ready.In {
		events |= pollIn
	}
	if ready.Out {
		events |= pollOut
	}
	return twoWords(events), 0
}

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if errno, ok := kbusdev.ErrnoOf(err); ok {
		return errno
	}
	if errors.Is(err, net.ErrClosed) {
		return unix.EBADF
	}
	return unix.EIO
}
