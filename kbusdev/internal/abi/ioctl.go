package abi

import "math/bits"

// An IoctlCoding is how a kind of machine packs an ioctl's direction, size,
// type and number into 32 bits.
type IoctlCoding struct {
	None, Write, Read   uint32 // direction values
	SizeShift, DirShift uint
}

// The two codings Linux has.
var (
	// GenericCoding is that of x86, arm, riscv and most others.
	GenericCoding = IoctlCoding{None: 0, Write: 1, Read: 2, SizeShift: 16, DirShift: 30}
	// LegacyCoding is that of mips, powerpc and sparc.
	LegacyCoding = IoctlCoding{None: 1, Write: 4, Read: 2, SizeShift: 16, DirShift: 29}
)

const magic = 'k'

// Ioctls holds the module's ioctl numbers. Their sizes all claim a char
// pointer, whatever the argument really is.
type Ioctls struct {
	Reset, Bind, Unbind, KsockID, Replier, NextMsg, LenLeft, Send, Discard, LastSent,
	MaxMsgs, NumMsgs, UnrepliedTo, MsgOnlyOnce, Verbose, NewDevice, ReportReplierBinds, MaxMsgSize uint32
}

// IoctlsFor computes the numbers for a pointer size of 4 or 8 bytes.
func IoctlsFor(pointerSize int, c IoctlCoding) Ioctls {
	code := func(dir, nr uint32) uint32 {
		size := uint32(pointerSize)
		if dir == c.None {
			size = 0
		}
		return dir<<c.DirShift | size<<c.SizeShift | magic<<8 | nr
	}
	rw := c.Read | c.Write
	return Ioctls{
		Reset:              code(c.None, 1),
		Bind:               code(c.Write, 2),
		Unbind:             code(c.Write, 3),
		KsockID:            code(c.Read, 4),
		Replier:            code(rw, 5),
		NextMsg:            code(c.Read, 6),
		LenLeft:            code(c.Read, 7),
		Send:               code(c.Read, 8),
		Discard:            code(c.None, 9),
		LastSent:           code(c.Read, 10),
		MaxMsgs:            code(rw, 11),
		NumMsgs:            code(c.Read, 12),
		UnrepliedTo:        code(c.Read, 13),
		MsgOnlyOnce:        code(rw, 14),
		Verbose:            code(rw, 15),
		NewDevice:          code(c.Read, 16),
		ReportReplierBinds: code(rw, 17),
		MaxMsgSize:         code(rw, 18),
	}
}

// HostIoctls are the numbers on the machine this program runs on.
var HostIoctls = IoctlsFor(bits.UintSize/8, hostCoding)
