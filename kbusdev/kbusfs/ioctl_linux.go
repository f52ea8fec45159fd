package kbusfs

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/internal/abi"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// An ioctlCall is one ioctl, whose argument is in the caller's memory.
type ioctlCall struct {
	r   *reader
	h   *handle
	arg uint64
	memory
}

// A memory is how the caller's memory is reached. read fails with EFAULT where there
// is none, and with membus.ErrNotYet if the kernel has to be asked for it: then the
// ioctl comes again.
type memory interface {
	read(address uint64, n int) ([]byte, error)
}

// ioctl does one. Results that are no errno of the call itself are passed through
// in the reply, so that SEND can give its id with EAGAIN.
func (rd *reader) ioctl(r *request) ([]byte, syscall.Errno) {
	h, errno := rd.d.find(r, 32)
	if errno != 0 {
		return nil, errno
	}
	b := r.body
	if order.Uint32(b[8:])&ioctlCompat != 0 {
		return nil, unix.ENOTTY // as the module says to 32-bit programs
	}
	number, arg, in := order.Uint32(b[12:]), order.Uint64(b[16:]), b[32:]
	traced := &tracedMemory{argument: argument{arg, in}, r: rd, unique: r.unique, pid: int(r.pid)}
	c := &ioctlCall{r: rd, h: h, arg: arg, memory: traced}
	if rd.d.server.by != CUSE {
		return c.reply(number), 0
	}
	reads, writes := argumentOf(number)
	if len(in) < reads || order.Uint32(b[28:]) < uint32(writes) {
		return ioctlRetryReply(regionOf(arg, reads), regionOf(arg, writes)), 0
	}
	traced.argument = argument{}
	copied := &copiedMemory{argument: argument{arg, in[:reads]}, data: in[reads:], regions: regionOf(arg, reads), more: traced}
	c.memory = copied
	payload := c.reply(number)
	if payload == nil {
		payload = ioctlRetryReply(copied.regions, regionOf(arg, writes))
	}
	return payload, 0
}

// reply gives nil if the ioctl has to come again.
func (c *ioctlCall) reply(number uint32) []byte {
	payload, result, err := c.do(number)
	switch {
	case errors.Is(err, membus.ErrNotYet):
		return nil
	case err != nil:
		result = -int32(errnoOf(err))
	}
	return ioctlReply(result, payload)
}

func u32(v uint32) []byte { return order.AppendUint32(nil, v) }

func messageID(id kbusdev.MsgID) []byte {
	return order.AppendUint32(order.AppendUint32(make([]byte, 0, 8), id.Network), id.Serial)
}

// argumentOf says how many bytes of its argument an ioctl reads, and writes.
func argumentOf(number uint32) (reads, writes int) {
	named := 8 + kbusdev.HostLayout.PointerSize
	switch n := &abi.HostIoctls; number {
	case n.Bind, n.Unbind:
		return named, 0
	case n.Replier:
		return named, 4
	case n.KsockID, n.NextMsg, n.LenLeft, n.NumMsgs, n.UnrepliedTo, n.NewDevice:
		return 0, 4
	case n.Send, n.LastSent:
		return 0, 8
	case n.MaxMsgs, n.MaxMsgSize, n.MsgOnlyOnce, n.Verbose, n.ReportReplierBinds:
		return 4, 4
	}
	return 0, 0
}

// set runs a setting, whose argument is a u32 both ways.
func set[T ~uint32](c *ioctlCall, f func(T) (T, error)) ([]byte, int32, error) {
	b, err := c.read(c.arg, 4)
	if err != nil {
		return nil, 0, err
	}
	v, err := f(T(order.Uint32(b)))
	return u32(uint32(v)), 0, err
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
		id, err := k.CommitFrom(c.read)
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
		most := c.r.d.server.cfg.MaxQueue
		return set(c, func(n uint32) (uint32, error) { return k.MaxMessages(min(n, most)) })
	case n.MaxMsgSize:
		return set(c, k.MaxMessageSize)
	case n.MsgOnlyOnce:
		return set(c, k.OnlyOnce)
	case n.Verbose:
		return set(c, k.Verbose)
	case n.ReportReplierBinds:
		return set(c, k.ReportReplierBinds)
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
	b, err := c.read(c.arg, 4)
	if err != nil {
		return err
	}
	as := kbusdev.Role(order.Uint32(b) != 0)
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
	b, err := c.read(c.arg+4, 4)
	if err != nil {
		return "", err
	}
	n := order.Uint32(b)
	switch {
	case n == 0:
		return "", nil
	case n > kbusdev.MaxNameLen:
		return "", unix.ENAMETOOLONG
	}
	layout := kbusdev.HostLayout
	if b, err = c.read(c.arg+8, layout.PointerSize); err != nil {
		return "", err
	}
	b, err = c.read(layout.Pointer(b), int(n))
	return string(b), err
}
