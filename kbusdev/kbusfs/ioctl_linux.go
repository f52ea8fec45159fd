package kbusfs

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/internal/abi"
)

// An ioctlCall is an ioctl as FUSE brings it: of the argument only the eight bytes
// that the number claims are copied in, the rest is fetched from the caller.
type ioctlCall struct {
	r      *reader
	unique uint64
	h      *handle
	pid    int
	arg    uint64
	in     []byte
}

// ioctl does one. Results that are no errno of the call itself are passed through
// in the reply, so that SEND can give its id with EAGAIN.
func (rd *reader) ioctl(r *request) ([]byte, syscall.Errno) {
	h, errno := rd.d.find(r, 32)
	if errno != 0 {
		return nil, errno
	}
	b := r.body
	c := &ioctlCall{r: rd, unique: r.unique, h: h, pid: int(r.pid), arg: order.Uint64(b[16:]), in: b[32:]}
	if order.Uint32(b[8:])&ioctlCompat != 0 {
		return nil, unix.ENOTTY // as the module says to 32-bit programs
	}
	payload, result, err := c.do(order.Uint32(b[12:]))
	if err != nil {
		result = -int32(errnoOf(err))
	}
	return ioctlReply(result, payload), 0
}

func u32(v uint32) []byte { return order.AppendUint32(nil, v) }

func messageID(id kbusdev.MsgID) []byte {
	return order.AppendUint32(order.AppendUint32(nil, id.Network), id.Serial)
}

// value is the u32 argument of a setting.
func (c *ioctlCall) value() uint32 {
	if len(c.in) < 4 {
		return 0
	}
	return order.Uint32(c.in)
}

func (c *ioctlCall) do(number uint32) (payload []byte, result int32, err error) {
	k, n := c.h.ksock, &abi.HostIoctls
	switch number {
	case n.Bind, n.Unbind:
		return nil, 0, c.bind(number == n.Bind)
	case n.Replier:
		name, err := c.name()
		if err != nil {
			return nil, 0, err
		}
		id, ok, err := k.Replier(name)
		if ok {
			result = 1
		}
		return u32(uint32(id)), result, err
	case n.KsockID:
		return u32(uint32(k.ID())), 0, nil
	case n.NextMsg:
		size, err := k.Next()
		if size > 0 {
			result = 1
		}
		return u32(uint32(size)), result, err
	case n.LenLeft:
		left, err := k.LenLeft()
		return u32(uint32(left)), 0, err
	case n.Send:
		id, err := k.CommitFrom(c.fetch)
		if errors.Is(err, unix.EAGAIN) {
			return messageID(id), 0, err
		}
		if err != nil {
			return nil, 0, err
		}
		return messageID(id), 0, nil
	case n.Discard:
		return nil, 0, k.Discard()
	case n.LastSent:
		id, err := k.LastSent()
		return messageID(id), 0, err
	case n.NumMsgs:
		queued, err := k.NumMessages()
		return u32(uint32(queued)), 0, err
	case n.UnrepliedTo:
		owed, err := k.Unreplied()
		return u32(uint32(owed)), 0, err
	case n.MaxMsgs:
		v, err := k.MaxMessages(c.value())
		return u32(v), 0, err
	case n.MaxMsgSize:
		v, err := k.MaxMessageSize(c.value())
		return u32(v), 0, err
	case n.MsgOnlyOnce:
		v, err := k.OnlyOnce(kbusdev.Switch(c.value()))
		return u32(uint32(v)), 0, err
	case n.Verbose:
		v, err := k.Verbose(kbusdev.Switch(c.value()))
		return u32(uint32(v)), 0, err
	case n.ReportReplierBinds:
		v, err := k.ReportReplierBinds(kbusdev.Switch(c.value()))
		return u32(uint32(v)), 0, err
	case n.NewDevice:
		v, err := k.NewDevice()
		if err == nil {
			err = c.r.d.server.add(int(v))
		}
		return u32(v), 0, err
	default:
		return nil, 0, unix.ENOTTY
	}
}

func (c *ioctlCall) bind(bind bool) error {
	if len(c.in) < 8 {
		return unix.EFAULT
	}
	as := kbusdev.Role(order.Uint32(c.in) != 0)
	name, err := c.name()
	if err != nil {
		return err
	}
	if bind {
		return c.h.ksock.Bind(name, as)
	}
	return c.h.ksock.Unbind(name, as)
}

// name fetches the name that the caller's struct points to: its length is at 4,
// its address at 8.
func (c *ioctlCall) name() (string, error) {
	if len(c.in) < 8 {
		return "", unix.EFAULT
	}
	n := order.Uint32(c.in[4:])
	switch {
	case n == 0:
		return "", nil
	case n > kbusdev.MaxNameLen:
		return "", unix.ENAMETOOLONG
	}
	pointer, err := c.fetch(c.arg+8, 8)
	if err != nil {
		return "", err
	}
	b, err := c.fetch(order.Uint64(pointer), int(n))
	return string(b), err
}

// fetch reads the caller's memory. A process may be read by root and by whoever
// may trace it, else the error is EPERM.
func (c *ioctlCall) fetch(address uint64, n int) ([]byte, error) {
	b := make([]byte, n)
	if n == 0 {
		return b, nil
	}
	watchdog := time.AfterFunc(holdUp, c.r.replace)
	defer watchdog.Stop()
	var decided atomic.Bool
	late := time.AfterFunc(giveUp, func() {
		if decided.CompareAndSwap(false, true) {
			_ = c.r.d.answer(appendReply(nil, c.unique, uint32(unix.EFAULT), nil))
		}
	})
	defer late.Stop()
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(n)
	got, err := unix.ProcessVMReadv(c.pid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: n}}, 0)
	if !decided.CompareAndSwap(false, true) {
		c.r.answered = true
		return nil, unix.EFAULT
	}
	switch {
	case err != nil:
		return nil, err
	case got != n:
		return nil, unix.EFAULT
	}
	return b, nil
}
