package bustest

import (
	"encoding/binary"
	"slices"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// What a Ksock of a Model writes, and how it is judged and sent.

// Write looks at one byte after the other.
func (k *modelKsock) Write(p []byte) (int, error) {
	if k.mode == kbusdev.ReadOnly {
		return 0, syscall.EBADF
	}
	if k.pending != nil {
		return 0, syscall.EALREADY
	}
	for _, c := range p {
		k.written = append(k.written, c)
		if err := k.judge(); err != nil {
			k.written = nil
			return 0, err
		}
	}
	return len(p), nil
}

func (k *modelKsock) word(at int) uint32 { return binary.LittleEndian.Uint32(k.written[at:]) }

func padded(n uint32) uint32 { return (n + 3) / 4 * 4 }

// size is the entire length that the header written speaks of.
func (k *modelKsock) size() uint64 {
	return modelHeader + uint64(padded(k.word(52)+1)) + (uint64(k.word(56))+3)/4*4 + 4
}

func (k *modelKsock) judge() error {
	n := len(k.written)
	if n < modelHeader {
		return nil
	}
	nameLen := k.word(52)
	dataLen := k.word(56)
	points := binary.LittleEndian.Uint64(k.written[64:]) != 0
	dataPoints := binary.LittleEndian.Uint64(k.written[72:]) != 0
	switch {
	case n == modelHeader:
		switch {
		case k.word(0) != 0x7375624B || k.word(80) != 0x4B627573:
			return syscall.EINVAL
		case nameLen == 0:
			return syscall.EINVAL
		case nameLen > 1000:
			return syscall.ENAMETOOLONG
		case !points && dataPoints, points && dataPoints != (dataLen > 0):
			return syscall.EINVAL
		case k.word(48)&0x300 == 0x300:
			return syscall.EINVAL
		case k.size() > uint64(k.bus.maxSize):
			return syscall.EMSGSIZE
		}
	case points: // pointers are followed at SEND, and nothing stands behind the header
		return syscall.EMSGSIZE
	case n == modelHeader+int(nameLen):
		return kbusdev.CheckName(string(k.written[modelHeader:n]))
	case n == int(k.size()):
		if k.word(n-4) != 0x4B627573 {
			return syscall.EINVAL
		}
	case n > int(k.size()):
		return syscall.EMSGSIZE
	}
	return nil
}

func (k *modelKsock) message() *kbusdev.Message {
	nameLen, dataLen := k.word(52), k.word(56)
	at := modelHeader + padded(nameLen+1)
	w := k.word
	return &kbusdev.Message{
		ID: kbusdev.MsgID{Network: w(4), Serial: w(8)}, InReplyTo: kbusdev.MsgID{Network: w(12), Serial: w(16)},
		To: kbusdev.KsockID(w(20)), From: kbusdev.KsockID(w(24)),
		OrigFrom: kbusdev.Address{Network: w(28), Local: kbusdev.KsockID(w(32))},
		FinalTo:  kbusdev.Address{Network: w(36), Local: kbusdev.KsockID(w(40))},
		Extra:    w(44), Flags: kbusdev.Flags(w(48)),
		Name: string(k.written[modelHeader : modelHeader+nameLen]),
		Data: slices.Clone(k.written[at : at+dataLen]),
	}
}

func (k *modelKsock) Commit() (kbusdev.MsgID, error) {
	if k.pending == nil {
		switch {
		case len(k.written) == 0:
			return kbusdev.MsgID{}, syscall.ENOMSG
		case len(k.written) < modelHeader:
			k.written = nil
			return kbusdev.MsgID{}, syscall.EINVAL
		case binary.LittleEndian.Uint64(k.written[64:]) != 0:
			k.written = nil // a model has nobody's memory to look into
			return kbusdev.MsgID{}, syscall.EFAULT
		case len(k.written) < int(k.size()):
			k.written = nil
			return kbusdev.MsgID{}, syscall.EINVAL
		}
		k.pending, k.numbered = k.message(), false
		k.written = nil
	}
	msg := k.pending
	err := k.try()
	if err != syscall.EAGAIN {
		k.pending = nil
	}
	return msg.ID, err
}

// try sends the pending message, now or not.
func (k *modelKsock) try() error {
	msg := k.pending
	if msg.Flags&kbusdev.WantReply != 0 && k.free() <= 0 {
		return syscall.ENOLCK
	}
	if !k.numbered {
		if msg.ID.Network == 0 {
			msg.ID = k.bus.serial()
		}
		msg.From, msg.Extra = k.id, 0
		msg.Flags &^= kbusdev.Synthetic | kbusdev.WantYouToReply
		k.numbered = true
	}
	k.sent = msg.ID
	return k.bus.deliver(k, msg)
}

func (k *modelKsock) Discard() error {
	k.written, k.pending = nil, nil
	return nil
}
