package membus

import (
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A writing is an entire message that arrives in pieces.
type writing struct {
	layout kbusdev.Layout
	buf    []byte
	header kbusdev.Header // once the buffer holds it all
	size   int            // the entire length, then
}

// Write adds bytes to the message being written. Any error throws all of the
// message away.
func (k *Ksock) Write(p []byte) (n int, err error) {
	err = k.locked("write", "", func() error {
		switch {
		case !k.mode.CanWrite():
			return syscall.EBADF
		case k.pending != nil:
			return syscall.EALREADY
		}
		k.writing.layout = k.bus.layout
		if err := k.writing.add(p, int(k.bus.maxSize)); err != nil {
			k.writing = writing{}
			return err
		}
		n = len(p)
		return nil
	})
	return n, err
}

// add takes the bytes in the steps in which the module judges them: the header,
// the name, the end.
func (w *writing) add(p []byte, maxSize int) error {
	head := w.layout.HeaderSize()
	if w.size == 0 {
		n := min(len(p), head-len(w.buf))
		w.buf, p = append(w.buf, p[:n]...), p[n:]
		if len(w.buf) < head {
			return nil
		}
		w.header = w.layout.ParseHeader(w.buf)
		if err := w.checkHeader(maxSize); err != nil {
			return err
		}
	}
	nameEnd := head + int(w.header.NameLen)
	if len(w.buf) < nameEnd {
		n := min(len(p), nameEnd-len(w.buf))
		w.buf, p = append(w.buf, p[:n]...), p[n:]
		if len(w.buf) < nameEnd {
			return nil
		}
		if err := kbusdev.CheckName(string(w.buf[head:nameEnd])); err != nil {
			return err
		}
	}
	if len(w.buf)+len(p) > w.size {
		return syscall.EMSGSIZE
	}
	w.buf = append(w.buf, p...)
	if len(w.buf) == w.size && w.layout.Order.Uint32(w.buf[w.size-4:]) != kbusdev.EndGuard {
		return syscall.EINVAL
	}
	return nil
}

func (w *writing) checkHeader(maxSize int) error {
	h := &w.header
	const both = kbusdev.AllOrFail | kbusdev.AllOrWait
	switch {
	case h.StartGuard != kbusdev.StartGuard || h.EndGuard != kbusdev.EndGuard:
		return syscall.EINVAL
	case h.NameLen == 0:
		return syscall.EINVAL
	case h.NameLen > kbusdev.MaxNameLen:
		return syscall.ENAMETOOLONG
	case h.DataPtr != 0 && (h.DataLen == 0 || h.NamePtr == 0), h.NamePtr != 0 && h.DataLen != 0 && h.DataPtr == 0:
		return syscall.EINVAL
	case kbusdev.Flags(h.Flags)&both == both:
		return syscall.EINVAL
	case uint64(h.DataLen) > uint64(maxSize) || w.layout.EntireSize(h.NameLen, h.DataLen) > maxSize:
		return syscall.EMSGSIZE
	case h.NamePtr != 0:
		return syscall.EFAULT // there is no other address space to read it from
	}
	w.size = w.layout.EntireSize(h.NameLen, h.DataLen)
	return nil
}

// finish gives the message, if it is all there.
func (w *writing) finish() (*kbusdev.Message, error) {
	switch {
	case len(w.buf) == 0:
		return nil, syscall.ENOMSG
	case w.size == 0 || len(w.buf) < w.size:
		return nil, syscall.EINVAL
	}
	m, err := kbusdev.ParseEntire(w.buf, w.layout)
	if err != nil {
		return nil, syscall.EINVAL
	}
	return m, nil
}
