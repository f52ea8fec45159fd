package kbusdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

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
	if err := k.startReading(ctx); err != nil {
		return nil, k.wrap("recv", "", err)
	}
	defer func() { <-k.reading }()
	t := &k.taking
	if _, err := k.recv(ctx, t.one[:]); err != nil {
		return nil, err
	}
	m := t.one[0]
	t.one[0] = nil
	return m, nil
}

// RecvBatch waits in the runtime's poller until a message is queued, then takes
// what there is.
func (k *deviceKsock) RecvBatch(ctx context.Context, dst []*Message) (n int, err error) {
	if len(dst) == 0 {
		return 0, nil
	}
	if err := k.startReading(ctx); err != nil {
		return 0, k.wrap("recv", "", err)
	}
	defer func() { <-k.reading }()
	return k.recv(ctx, dst)
}

// startReading waits for our turn.
func (k *deviceKsock) startReading(ctx context.Context) error {
	select {
	case k.reading <- struct{}{}: // first, for what is queued is given even when ctx has ended
		return nil
	default:
	}
	select {
	case k.reading <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-k.closed:
		return net.ErrClosed
	}
}

// recv looks first, and goes to the poller only when there is nothing. A Ksock that has
// waited before leaves the look to waitAndTake, which has to look anyway: to ask a device
// that a process serves is a round trip to it.
func (k *deviceKsock) recv(ctx context.Context, dst []*Message) (int, error) {
	t := &k.taking
	t.dst, t.n, t.err = dst, 0, nil
	defer func() { t.dst = nil }()
	ended := ctx.Err()
	var err error
	if ended != nil || !k.hasWaited() {
		err = k.look()
	}
	if err == nil && t.n == 0 {
		if err = ended; err == nil {
			err = k.waitAndTake(ctx)
		}
	}
	if t.n > 0 {
		return t.n, nil
	}
	return 0, k.wrap("recv", "", err)
}

// look takes what is queued now.
func (k *deviceKsock) look() error {
	if err := k.raw.Control(k.taking.now); err != nil {
		return err
	}
	return k.taking.err
}

// waitAndTake takes what is queued, else waits for it. It looks once more when ctx has
// ended: that may have been before the first look.
func (k *deviceKsock) waitAndTake(ctx context.Context) error {
	w, err := k.withPoller()
	if err != nil {
		return err
	}
	for {
		if err := w.watch(ctx); err != nil {
			return k.whyNot(err)
		}
		err := w.raw.Read(w.ready)
		switch {
		case k.taking.n > 0 || k.taking.err != nil:
			return k.taking.err
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return k.whyNot(err)
		case ctx.Err() != nil:
			if err := k.look(); err != nil || k.taking.n > 0 {
				return err
			}
			return ctx.Err()
		}
		w.forget() // it was the end of an earlier context
	}
}

// whyNot asks the device why it cannot be waited for. One that died since it was
// looked at cannot join the poller, whose own words say nothing of that.
func (k *deviceKsock) whyNot(err error) error {
	if k.raw.Control(k.taking.now) == nil && k.taking.err != nil {
		return k.taking.err
	}
	return err
}

// A taking is what Recv works with, kept so that receiving allocates no more than
// a message's data: the structs come from slabs, and names are mostly ones that
// were seen before.
type taking struct {
	one   [1]*Message
	dst   []*Message // to be filled, and what came of it
	n     int
	err   error
	now   func(fd uintptr) // take
	buf   []byte
	slab  []Message
	names map[string]string
}

// take does NEXTMSG and read, as one step, until nothing is queued or dst is full.
func (t *taking) take(fd uintptr) {
	for t.n < len(t.dst) && t.err == nil {
		var m *Message
		if m, t.err = t.takeOne(fd); m == nil {
			return
		}
		t.dst[t.n] = m
		t.n++
	}
}

// takeOne gives nil when nothing is queued.
func (t *taking) takeOne(fd uintptr) (m *Message, err error) {
	var size uint32
	if err := again(func() (err error) { size, err = abi.NextMsg(fd); return err }); err != nil || size == 0 {
		return nil, err
	}
	b := t.room(int(size))
	for got := 0; got < len(b); {
		var n int
		if err := again(func() (err error) { n, err = unix.Read(int(fd), b[got:]); return err }); err != nil {
			return nil, err
		}
		if n <= 0 {
			return nil, fmt.Errorf("a message of %d bytes ends after %d: %w", size, got, unix.EIO)
		}
		got += n
	}
	h, name, data, err := HostLayout.ParseEntire(b)
	if err != nil {
		return nil, err
	}
	return t.message(&h, name, data), nil
}

const (
	slabSize = 32
	maxNames = 1024
)

// room gives n bytes to read into.
func (t *taking) room(n int) []byte {
	if cap(t.buf) < n {
		t.buf = make([]byte, n)
	}
	return t.buf[:n]
}

func (t *taking) message(h *Header, name, data []byte) *Message {
	if len(t.slab) == 0 {
		t.slab = make([]Message, slabSize)
	}
	m := &t.slab[0]
	t.slab = t.slab[1:]
	known, ok := t.names[string(name)]
	if !ok {
		if t.names == nil || len(t.names) >= maxNames {
			t.names = make(map[string]string)
		}
		known = string(name)
		t.names[known] = known
	}
	var kept []byte
	if len(data) > 0 {
		kept = append(make([]byte, 0, len(data)), data...)
	}
	*m = MessageFrom(h, known, kept, HostLayout.Order)
	return m
}
