package kbusdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev/internal/abi"
)

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
