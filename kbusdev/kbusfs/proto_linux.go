package kbusfs

import "encoding/binary"

// The kernel's numbers, from linux/fuse.h (protocol 7.31).
const (
	opForget      = 2
	opGetattr     = 3
	opSetattr     = 4
	opOpen        = 14
	opRead        = 15
	opWrite       = 16
	opStatfs      = 17
	opRelease     = 18
	opFsync       = 20
	opInit        = 26
	opDestroy     = 38
	opIoctl       = 39
	opPoll        = 40
	opNotifyReply = 41
	opBatchForget = 42
	opCuseInit    = 4096

	inHeaderSize  = 40
	outHeaderSize = 16

	notifyPoll     = 1 // as the "error" of an unsolicited message
	notifyRetrieve = 5

	pollSchedule = 1 // in a poll request: tell us of changes
	ioctlCompat  = 1 // in an ioctl request: the caller is a 32-bit program
	ioctlRetry   = 4 // in an ioctl reply: ask again, with this of the caller's memory

	cuseUnrestricted = 1 // ioctls may ask for any of the caller's memory

	openFlags = 1 | 4 | 16 | 32 // DIRECT_IO, NONSEEKABLE, STREAM, NOFLUSH

	initWanted    = 1<<3 | 1<<5 | 1<<22 // ATOMIC_O_TRUNC, BIG_WRITES, MAX_PAGES
	maxWrite      = 1 << 20
	maxPages      = 256
	maxRequest    = maxWrite + 64<<10 // with what stands before what is written
	maxBackground = 65535             // with a small number closes in a row become visible late

	pollIn  = 0x41  // POLLIN, POLLRDNORM
	pollOut = 0x104 // POLLOUT, POLLWRNORM
)

var order = binary.NativeEndian

// A request is one message from the kernel. It is valid until the next is read.
type request struct {
	opcode   uint32
	unique   uint64
	uid, gid uint32
	pid      uint32
	body     []byte
}

func parseRequest(b []byte) (request, bool) {
	if len(b) < inHeaderSize || int(order.Uint32(b)) != len(b) {
		return request{}, false
	}
	return request{
		opcode: order.Uint32(b[4:]),
		unique: order.Uint64(b[8:]),
		uid:    order.Uint32(b[24:]),
		gid:    order.Uint32(b[28:]),
		pid:    order.Uint32(b[32:]),
		body:   b[inHeaderSize:],
	}, true
}

// appendReply makes an answer; errno is positive, and with one there is no payload.
func appendReply(dst []byte, unique uint64, errno uint32, payload []byte) []byte {
	if errno != 0 {
		payload = nil
	}
	dst = order.AppendUint32(dst, uint32(outHeaderSize+len(payload)))
	dst = order.AppendUint32(dst, -errno)
	dst = order.AppendUint64(dst, unique)
	return append(dst, payload...)
}

// endNotice asks the kernel for none of the file's bytes that it keeps: it brings them as
// a request, opNotifyReply, and so wakes the reader.
func endNotice() []byte {
	b := order.AppendUint32(nil, outHeaderSize+32)
	b = order.AppendUint32(b, notifyRetrieve)
	for _, v := range []uint64{0, 0, 1, 0, 0} { // of inode 1
		b = order.AppendUint64(b, v)
	}
	return b
}

func initReply(body []byte) []byte {
	flags := uint32(0)
	if len(body) >= 16 {
		flags = order.Uint32(body[12:])
	}
	b := make([]byte, 0, 64)
	for _, v := range []uint32{7, 31, 0, flags & initWanted} {
		b = order.AppendUint32(b, v)
	}
	b = order.AppendUint16(b, maxBackground)
	b = order.AppendUint16(b, maxBackground*3/4)
	b = order.AppendUint32(b, maxWrite)
	b = order.AppendUint32(b, 1) // time granularity
	b = order.AppendUint16(b, maxPages)
	return b[:64]
}

// cuseInitReply names a character device, whose number the kernel chooses if major
// is 0.
func cuseInitReply(name string, major, minor uint32) []byte {
	b := make([]byte, 0, 128)
	for _, v := range []uint32{7, 31, 0, cuseUnrestricted, maxWrite, maxWrite, major, minor} {
		b = order.AppendUint32(b, v)
	}
	b = b[:72] // the number, and spare words
	return append(append(b, "DEVNAME="+name...), 0)
}

// attrReply tells of the one file there is: nothing of it changes for an hour.
func attrReply(mode, uid, gid uint32) []byte {
	b := make([]byte, 104)
	order.PutUint64(b, 3600)
	attr := b[16:]
	order.PutUint64(attr, 1) // inode; the size stays 0
	order.PutUint32(attr[60:], mode)
	order.PutUint32(attr[64:], 1) // links
	order.PutUint32(attr[68:], uid)
	order.PutUint32(attr[72:], gid)
	order.PutUint32(attr[80:], 4096)
	return b
}

func openReply(handle uint64) []byte {
	b := order.AppendUint64(nil, handle)
	b = order.AppendUint32(b, openFlags)
	return order.AppendUint32(b, 0)
}

func twoWords(a uint32) []byte {
	return order.AppendUint32(order.AppendUint32(make([]byte, 0, 8), a), 0)
}

// ioctlReply passes a result through: negative is an errno, which for SEND comes
// with a payload.
func ioctlReply(result int32, payload []byte) []byte {
	b := make([]byte, 16, 16+len(payload))
	order.PutUint32(b, uint32(result))
	return append(b, payload...)
}

// A region is a piece of a caller's memory.
type region struct {
	address uint64
	n       int
}

// ioctlRetryReply asks for the ioctl once more, with what the caller has at in, and
// with room for an answer at out.
func ioctlRetryReply(in, out []region) []byte {
	b := order.AppendUint32(make([]byte, 0, 16+16*(len(in)+len(out))), 0)
	b = order.AppendUint32(b, ioctlRetry)
	b = order.AppendUint32(b, uint32(len(in)))
	b = order.AppendUint32(b, uint32(len(out)))
	for _, r := range append(in[:len(in):len(in)], out...) {
		b = order.AppendUint64(b, r.address)
		b = order.AppendUint64(b, uint64(r.n))
	}
	return b
}
