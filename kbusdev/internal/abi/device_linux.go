package abi

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// One function per ioctl of the device. Each returns the errno as an error. A
// u32 result is exactly four bytes, a message id eight.

func ioctl(fd uintptr, request uint32, arg unsafe.Pointer) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

func ioctlU32(fd uintptr, request uint32, value uint32) (uint32, int, error) {
	r, err := ioctl(fd, request, unsafe.Pointer(&value))
	return value, r, err
}

// A bindRequest is struct kbus_bind_request.
type bindRequest struct {
	isReplier uint32
	nameLen   uint32
	name      unsafe.Pointer
}

func ioctlName(fd uintptr, request uint32, first uint32, name string) (uint32, int, error) {
	b := append([]byte(name), 0)
	arg := bindRequest{isReplier: first, nameLen: uint32(len(name)), name: unsafe.Pointer(&b[0])}
	r, err := ioctl(fd, request, unsafe.Pointer(&arg))
	runtime.KeepAlive(b)
	return arg.isReplier, r, err
}

// Bind binds a name.
func Bind(fd uintptr, isReplier bool, name string) error {
	_, _, err := ioctlName(fd, HostIoctls.Bind, boolU32(isReplier), name)
	return err
}

// Unbind unbinds a name.
func Unbind(fd uintptr, isReplier bool, name string) error {
	_, _, err := ioctlName(fd, HostIoctls.Unbind, boolU32(isReplier), name)
	return err
}

// Replier asks who replies to a name.
func Replier(fd uintptr, name string) (id uint32, ok bool, err error) {
	id, r, err := ioctlName(fd, HostIoctls.Replier, 0, name)
	return id, r == 1, err
}

func boolU32(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// KsockID asks for the Ksock's id.
func KsockID(fd uintptr) (uint32, error) { return get(fd, HostIoctls.KsockID) }

// NextMsg takes the next message, and gives its entire length.
func NextMsg(fd uintptr) (uint32, error) { return get(fd, HostIoctls.NextMsg) }

// LenLeft asks how much of it is to be read.
func LenLeft(fd uintptr) (uint32, error) { return get(fd, HostIoctls.LenLeft) }

// NumMsgs asks how many messages are queued.
func NumMsgs(fd uintptr) (uint32, error) { return get(fd, HostIoctls.NumMsgs) }

// UnrepliedTo asks how many replies are owed.
func UnrepliedTo(fd uintptr) (uint32, error) { return get(fd, HostIoctls.UnrepliedTo) }

// NewDevice makes another device.
func NewDevice(fd uintptr) (uint32, error) { return get(fd, HostIoctls.NewDevice) }

func get(fd uintptr, request uint32) (uint32, error) {
	v, _, err := ioctlU32(fd, request, 0)
	return v, err
}

// MaxMsgs sets the queue's bound, or asks.
func MaxMsgs(fd uintptr, n uint32) (uint32, error) { return set(fd, HostIoctls.MaxMsgs, n) }

// MsgOnlyOnce switches only-once, or asks.
func MsgOnlyOnce(fd uintptr, n uint32) (uint32, error) { return set(fd, HostIoctls.MsgOnlyOnce, n) }

// Verbose switches the device's log, or asks.
func Verbose(fd uintptr, n uint32) (uint32, error) { return set(fd, HostIoctls.Verbose, n) }

// ReportReplierBinds switches bind events, or asks.
func ReportReplierBinds(fd uintptr, n uint32) (uint32, error) {
	return set(fd, HostIoctls.ReportReplierBinds, n)
}

// MaxMsgSize sets the device's bound on messages, or asks.
func MaxMsgSize(fd uintptr, n uint32) (uint32, error) { return set(fd, HostIoctls.MaxMsgSize, n) }

func set(fd uintptr, request uint32, n uint32) (uint32, error) {
	v, _, err := ioctlU32(fd, request, n)
	return v, err
}

// Send sends what was written. The id is given with EAGAIN too.
func Send(fd uintptr) (network, serial uint32, err error) { return messageID(fd, HostIoctls.Send) }

// LastSent asks for the id of the last message sent.
func LastSent(fd uintptr) (network, serial uint32, err error) {
	return messageID(fd, HostIoctls.LastSent)
}

func messageID(fd uintptr, request uint32) (network, serial uint32, err error) {
	var id [2]uint32
	_, err = ioctl(fd, request, unsafe.Pointer(&id[0]))
	return id[0], id[1], err
}

// Discard drops what was written or is pending.
func Discard(fd uintptr) error {
	_, err := ioctl(fd, HostIoctls.Discard, nil)
	return err
}
