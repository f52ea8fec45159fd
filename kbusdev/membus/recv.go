package membus

import (
	"context"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Recv waits for the next message. One that is queued is returned even when ctx
// has ended.
func (k *Ksock) Recv(ctx context.Context) (*kbusdev.Message, error) {
	var one [1]*kbusdev.Message
	if _, err := k.RecvBatch(ctx, one[:]); err != nil {
		return nil, err
	}
	return one[0], nil
}

// RecvBatch waits for a message, then gives as many as are queued and fit.
func (k *Ksock) RecvBatch(ctx context.Context, dst []*kbusdev.Message) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	for {
		n, err := k.recvQueued(dst)
		if n > 0 || err != nil {
			return n, err
		}
		select {
		case <-k.readable:
		case <-k.closed:
		case <-ctx.Done():
			return 0, opError("recv", "", ctx.Err())
		}
	}
}

func (k *Ksock) recvQueued(dst []*kbusdev.Message) (n int, err error) {
	b := k.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if k.gone {
		return 0, opError("recv", "", errClosed)
	}
	if k.queue.n == 0 {
		return 0, nil
	}
	if !k.mode.CanRead() {
		k.take()
		return 0, opError("recv", "", syscall.EBADF)
	}
	for n < len(dst) && k.queue.n > 0 {
		e := k.take()
		m := &e.msg.Message
		if e.msg.shared() {
			m = new(kbusdev.Message)
			*m = e.msg.Message
		}
		m.Flags = e.flags
		dst[n] = m
		n++
	}
	k.taken, k.reading = nil, nil
	if k.queue.n > 0 {
		signal(k.readable) // for another Recv that waits
	}
	b.roomAt(k)
	return n, nil
}

// take removes the next message, which must be there, and notes what we owe.
func (k *Ksock) take() queued {
	e := k.queue.pop()
	k.takenEver++
	if e.request {
		k.debts.add(&e.msg.Message)
	}
	k.bus.moveSetAside(k)
	return e
}

// Next takes the next message for Read, and gives its entire length in bytes.
func (k *Ksock) Next() (n int, err error) {
	err = k.locked("nextmsg", "", func() error {
		k.taken, k.reading = nil, nil
		if k.queue.n == 0 {
			return nil
		}
		e := k.take()
		m := e.msg.Message
		m.Flags = e.flags
		k.taken = &m
		n = kbusdev.EntireSize(k.bus.layout, &m)
		k.bus.roomAt(k)
		return nil
	})
	return n, err
}

// Read gives bytes of the message that Next took; 0 and nil when there are none.
func (k *Ksock) Read(p []byte) (n int, err error) {
	err = k.locked("read", "", func() error {
		if !k.mode.CanRead() {
			return syscall.EBADF
		}
		if k.taken != nil {
			k.reading = kbusdev.AppendEntire(nil, k.bus.layout, k.taken)
			k.taken = nil
		}
		n = copy(p, k.reading)
		k.reading = k.reading[n:]
		return nil
	})
	return n, err
}

// LenLeft is how many bytes Read has still to give.
func (k *Ksock) LenLeft() (n int, err error) {
	err = k.locked("lenleft", "", func() error {
		n = len(k.reading)
		if k.taken != nil {
			n = kbusdev.EntireSize(k.bus.layout, k.taken)
		}
		return nil
	})
	return n, err
}
