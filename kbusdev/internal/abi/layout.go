// Package abi is the boundary with the KBUS module: its structs as bytes and
// its ioctl numbers. Nothing here has an opinion; unsafe, padding and guards
// live here and nowhere else.
package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// The words that frame a message.
const (
	StartGuard = 0x7375624B
	EndGuard   = 0x4B627573
)

// headerWords is the number of u32 before the two pointers.
const headerWords = 15

// A ByteOrder reads and appends integers; binary.LittleEndian, BigEndian and
// NativeEndian are the ones there are.
type ByteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// A Layout is how one kind of machine lays the module's structs out. The zero
// Layout is not valid; use Host, or make one for bytes from elsewhere.
type Layout struct {
	// PointerSize is 4 or 8 bytes.
	PointerSize int
	// Order is the byte order of every integer.
	Order ByteOrder
}

// Host is the layout of the machine this program runs on.
var Host = Layout{PointerSize: bits.UintSize / 8, Order: binary.NativeEndian}

// LittleEndian64 is the layout of amd64, arm64 and riscv64 machines.
var LittleEndian64 = Layout{PointerSize: 8, Order: binary.LittleEndian}

// A Header is struct kbus_message_header with native integers. The pointers
// are 0 in an entire message.
type Header struct {
	StartGuard                uint32
	IDNetwork, IDSerial       uint32
	ReplyNetwork, ReplySerial uint32
	To, From                  uint32
	OrigNetwork, OrigLocal    uint32
	FinalNetwork, FinalLocal  uint32
	Extra, Flags              uint32
	NameLen, DataLen          uint32
	NamePtr, DataPtr          uint64
	EndGuard                  uint32
}

// HeaderSize is the size of a header in bytes: 88 with 64-bit pointers, 72 with 32-bit.
func (l Layout) HeaderSize() int {
	return l.roundUp(l.pointersAt() + 2*l.PointerSize + 4)
}

func (l Layout) pointersAt() int { return l.roundUp(headerWords * 4) }

func (l Layout) roundUp(n int) int { return (n + l.PointerSize - 1) &^ (l.PointerSize - 1) }

// NameSize is the room a name of n bytes takes in an entire message.
func NameSize(n uint32) int { return (int(n) + 4) &^ 3 }

// DataSize is the room data of n bytes takes in an entire message.
func DataSize(n uint32) int { return (int(n) + 3) &^ 3 }

// EntireSize is the length in bytes of an entire message. Name and data lengths
// are to be checked against their bounds before.
func (l Layout) EntireSize(nameLen, dataLen uint32) int {
	return l.HeaderSize() + NameSize(nameLen) + DataSize(dataLen) + 4
}

// AppendHeader appends the header's bytes.
func (l Layout) AppendHeader(dst []byte, h *Header) []byte {
	start := len(dst)
	for _, v := range [...]uint32{
		h.StartGuard, h.IDNetwork, h.IDSerial, h.ReplyNetwork, h.ReplySerial, h.To, h.From,
		h.OrigNetwork, h.OrigLocal, h.FinalNetwork, h.FinalLocal, h.Extra, h.Flags, h.NameLen, h.DataLen,
	} {
		dst = l.Order.AppendUint32(dst, v)
	}
	dst = appendZeros(dst, l.pointersAt()-headerWords*4)
	dst = l.appendPointer(dst, h.NamePtr)
	dst = l.appendPointer(dst, h.DataPtr)
	dst = l.Order.AppendUint32(dst, h.EndGuard)
	return appendZeros(dst, start+l.HeaderSize()-len(dst))
}

func (l Layout) appendPointer(dst []byte, p uint64) []byte {
	if l.PointerSize == 4 {
		return l.Order.AppendUint32(dst, uint32(p))
	}
	return l.Order.AppendUint64(dst, p)
}

func appendZeros(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, 0)
	}
	return dst
}

// ParseHeader reads a header from the first HeaderSize bytes of b, which must
// be there. It checks nothing.
func (l Layout) ParseHeader(b []byte) Header {
	word := func(i int) uint32 { return l.Order.Uint32(b[4*i:]) }
	at := l.pointersAt()
	return Header{
		StartGuard: word(0),
		IDNetwork:  word(1), IDSerial: word(2),
		ReplyNetwork: word(3), ReplySerial: word(4),
		To: word(5), From: word(6),
		OrigNetwork: word(7), OrigLocal: word(8),
		FinalNetwork: word(9), FinalLocal: word(10),
		Extra: word(11), Flags: word(12),
		NameLen: word(13), DataLen: word(14),
		NamePtr:  l.Pointer(b[at:]),
		DataPtr:  l.Pointer(b[at+l.PointerSize:]),
		EndGuard: l.Order.Uint32(b[at+2*l.PointerSize:]),
	}
}

// Pointer reads a pointer of the layout's size from the start of b.
func (l Layout) Pointer(b []byte) uint64 {
	if l.PointerSize == 4 {
		return uint64(l.Order.Uint32(b))
	}
	return l.Order.Uint64(b)
}

// ErrNotEntire is wrapped by what ParseEntire returns for bytes that are no
// entire message.
var ErrNotEntire = errors.New("not an entire KBUS message")

// AppendEntire appends an entire message: h with its lengths, guards and
// pointers put right, then name and data padded, then the final guard.
func (l Layout) AppendEntire(dst []byte, h Header, name string, data []byte) []byte {
	h.StartGuard, h.EndGuard = StartGuard, EndGuard
	h.NameLen, h.DataLen = uint32(len(name)), uint32(len(data))
	h.NamePtr, h.DataPtr = 0, 0
	dst = l.AppendHeader(dst, &h)
	dst = append(dst, name...)
	dst = appendZeros(dst, NameSize(h.NameLen)-len(name))
	dst = append(dst, data...)
	dst = appendZeros(dst, DataSize(h.DataLen)-len(data))
	return l.Order.AppendUint32(dst, EndGuard)
}

// ParseEntire splits an entire message, which must be all of b. The name and
// data it returns lie in b. It never reads outside b, whatever the lengths say.
func (l Layout) ParseEntire(b []byte) (h Header, name, data []byte, err error) {
	size := l.HeaderSize()
	if len(b) < size+4 {
		return h, nil, nil, fmt.Errorf("%w: %d bytes, a header has %d", ErrNotEntire, len(b), size)
	}
	h = l.ParseHeader(b)
	switch {
	case h.StartGuard != StartGuard || h.EndGuard != EndGuard:
		return h, nil, nil, fmt.Errorf("%w: header guards are %#x and %#x", ErrNotEntire, h.StartGuard, h.EndGuard)
	case h.NamePtr != 0 || h.DataPtr != 0:
		return h, nil, nil, fmt.Errorf("%w: it has pointers", ErrNotEntire)
	case uint64(h.NameLen)+uint64(h.DataLen) > uint64(len(b)), l.EntireSize(h.NameLen, h.DataLen) != len(b):
		return h, nil, nil, fmt.Errorf("%w: name of %d and data of %d bytes in %d", ErrNotEntire, h.NameLen, h.DataLen, len(b))
	case l.Order.Uint32(b[len(b)-4:]) != EndGuard:
		return h, nil, nil, fmt.Errorf("%w: final guard is %#x", ErrNotEntire, l.Order.Uint32(b[len(b)-4:]))
	}
	dataAt := size + NameSize(h.NameLen)
	return h, b[size : size+int(h.NameLen)], b[dataAt : dataAt+int(h.DataLen)], nil
}
