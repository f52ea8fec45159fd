package kbusfs

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// A device is one bus behind one mounted file.
type device struct {
	server *Server
	bus    *membus.Bus
	number int
	path   string
	fd     int
	remove func() error // takes the file away

	readers sync.WaitGroup // all but those that were replaced
	failed  chan error

	mu         sync.Mutex // for the few moments in which there are two readers
	closed     bool
	handles    map[uint64]*handle
	lastHandle uint64
	stuck      int
}

// A handle is one open of the file: a Ksock.
type handle struct {
	ksock   *membus.Ksock
	program Program // that opened it

	mu    sync.Mutex
	kh    uint64 // the kernel's name for whoever polls
	armed bool
}

// A reader takes requests from the kernel and answers them, one after the other.
// There is one for each device, until a hostile program holds it up: reading a
// caller's memory takes as long as the caller likes (userfaultfd). Then another
// reader goes on, and this one ends with its answer.
type reader struct {
	d        *device
	replaced atomic.Bool
	answered bool // its request was given up, and answered so
	out      []byte
}

const (
	// holdUp is how long a caller's memory may take before others are served. On a
	// busy machine, or when the memory is swapped out, it takes that long at times.
	holdUp = 20 * time.Millisecond
	// giveUp is when the caller is told EFAULT: until it is told something it cannot
	// even be killed, and with it goes what holds the reader up.
	giveUp = 5 * time.Second
	// maxStuck bounds the readers that are held up at once.
	maxStuck = 256
)

// serve reads and answers until the server stops.
func (d *device) serve() error {
	d.startReader()
	d.readers.Wait()
	select {
	case err := <-d.failed:
		return err
	default:
		return nil
	}
}

func (d *device) startReader() {
	d.readers.Add(1)
	go func() {
		r := &reader{d: d}
		err := r.run()
		if r.replaced.Load() {
			d.mu.Lock()
			d.stuck--
			d.mu.Unlock()
			return
		}
		if err != nil {
			select {
			case d.failed <- err:
			default:
			}
		}
		d.readers.Done()
	}()
}

// replace lets another reader go on in r's place.
func (r *reader) replace() {
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.stuck >= maxStuck {
		return
	}
	d.stuck++
	r.replaced.Store(true)
	d.startReader()
	d.readers.Done()
}

func (r *reader) run() error {
	d := r.d
	buf := make([]byte, maxRequest)
	for !r.replaced.Load() {
		if d.server.by == CUSE {
			if stop, err := d.await(); stop || err != nil {
				return err
			}
		}
		n, err := unix.Read(d.fd, buf)
		switch {
		case errors.Is(err, unix.ENODEV):
			return nil // unmounted by someone else
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOENT):
			continue
		case err != nil:
			return fmt.Errorf("serving %s: reading from the kernel: %w", d.path, err)
		}
		q, ok := parseRequest(buf[:n])
		if !ok {
			return fmt.Errorf("serving %s: the kernel sent %d bytes that are no request", d.path, n)
		}
		if q.opcode == opNotifyReply { // to endNotice
			return nil
		}
		payload, errno, answer := r.handle(&q)
		d.server.sayDenials()
		if !answer || r.answered {
			continue
		}
		r.out = appendReply(r.out[:0], q.unique, uint32(errno), payload)
		// ENOENT: the caller was killed and waits no more.
		if err := d.answer(r.out); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("serving %s: answering the kernel: %w", d.path, err)
		}
	}
	return nil
}

// await waits until the kernel has a request, or the server stops. CUSE knows no notice
// that would wake a reader, as endNotice does with FUSE, at the price of no system call.
func (d *device) await() (stop bool, err error) {
	fds := [...]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}, {Fd: int32(d.server.stopping), Events: unix.POLLIN}}
	for {
		switch _, err := unix.Poll(fds[:], -1); {
		case err == nil:
			return fds[1].Revents != 0, nil
		case !errors.Is(err, unix.EINTR):
			return false, fmt.Errorf("serving %s: waiting for the kernel: %w", d.path, err)
		}
	}
}

// answer writes to the kernel, unless the device was closed while a reader was
// held up.
func (d *device) answer(b []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	_, err := unix.Write(d.fd, b)
	return err
}

// close drops every Ksock, when the file is gone.
func (d *device) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, h := range d.handles {
		h.ksock.OnChange(nil)
		_ = h.ksock.Close()
	}
	_ = unix.Close(d.fd)
}

// handle does one request.
func (rd *reader) handle(r *request) (payload []byte, errno syscall.Errno, answer bool) {
	d := rd.d
	switch r.opcode {
	case opForget, opBatchForget:
		return nil, 0, false
	case opGetattr, opSetattr:
		return attrReply(unix.S_IFREG|d.server.mode(), 0, 0), 0, true
	case opOpen:
		payload, errno = d.open(r)
	case opRelease:
		errno = d.release(r)
	case opRead:
		payload, errno = rd.read(r)
	case opWrite:
		payload, errno = d.write(r)
	case opIoctl:
		payload, errno = rd.ioctl(r)
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
	h := &handle{ksock: k.(*membus.Ksock), program: programOf(r.uid, r.gid, r.pid)}
	h.ksock.OnChange(func() { h.wake(d.fd) })
	d.mu.Lock()
	defer d.mu.Unlock()
	d.server.judgedBy(h, d.server.judgeOf(&h.program)) // under the lock, so that RulesChanged misses nobody
	d.lastHandle++
	d.handles[d.lastHandle] = h
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
	d.mu.Lock()
	h := d.handles[order.Uint64(r.body)]
	d.mu.Unlock()
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
	d.mu.Lock()
	delete(d.handles, order.Uint64(r.body))
	d.mu.Unlock()
	_ = h.ksock.Close()
	return 0
}

// read reads to where the reply will be.
func (rd *reader) read(r *request) ([]byte, syscall.Errno) {
	h, errno := rd.d.find(r, 24)
	if errno != 0 {
		return nil, errno
	}
	most := int(min(order.Uint32(r.body[16:]), maxWrite))
	rd.out = slices.Grow(rd.out[:0], outHeaderSize+most)
	b := rd.out[outHeaderSize : outHeaderSize+most]
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
