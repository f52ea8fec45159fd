package membus

import (
	"errors"
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
	if w.header.NamePtr != 0 {
		if len(p) > 0 {
			return syscall.EMSGSIZE
		}
		return nil
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
	n := min(len(p), w.size-len(w.buf))
	w.buf, p = append(w.buf, p[:n]...), p[n:]
	switch {
	case n > 0 && len(w.buf) == w.size && w.layout.Order.Uint32(w.buf[w.size-4:]) != kbusdev.EndGuard:
		return syscall.EINVAL
	case len(p) > 0: // judged last: a wrong guard comes before what follows it
		return syscall.EMSGSIZE
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
	}
	w.size = w.layout.EntireSize(h.NameLen, h.DataLen)
	if h.NamePtr != 0 {
		w.size = w.layout.HeaderSize() // name and data stay where they are until SEND
	}
	return nil
}

// finish gives the message, if it is all there. What a pointy header points to has
// been fetched before, or is EFAULT.
func (w *writing) finish(f *fetched) (*kbusdev.Message, error) {
	switch {
	case len(w.buf) == 0:
		return nil, syscall.ENOMSG
	case w.size == 0 || len(w.buf) < w.size:
		return nil, syscall.EINVAL
	case w.header.NamePtr != 0:
		if f == nil || len(f.name) != int(w.header.NameLen) || len(f.data) != int(w.header.DataLen) {
			return nil, syscall.EFAULT
		}
		if err := kbusdev.CheckName(string(f.name)); err != nil {
			return nil, err
		}
		m := kbusdev.MessageFrom(&w.header, string(f.name), f.data, w.layout.Order)
		return &m, nil
	}
	m, err := kbusdev.ParseEntire(w.buf, w.layout)
	if err != nil {
		return nil, syscall.EINVAL
	}
	return m, nil
}

// fetched is what the pointers of a pointy message led to.
type fetched struct{ name, data []byte }

// ErrNotYet is what a Memory says that has to be waited for: the call fails with it,
// has done nothing, and is made again when the memory is there.
var ErrNotYet = errors.New("the memory is not there yet")

// Memory reads n bytes at an address of the program that wrote a message.
type Memory func(address uint64, n int) ([]byte, error)

// CommitFrom is Commit for a device server: it follows the pointers of a pointy
// message in the writing program's memory. No lock is held while memory is read,
// for a hostile program can make that take for ever. memory's error is returned
// as it is; the message is gone then, but with ErrNotYet.
func (k *Ksock) CommitFrom(memory Memory) (kbusdev.MsgID, error) {
	var h kbusdev.Header
	pointy := false
	if err := k.locked("send", "", func() error {
		w := &k.writing
		pointy = k.pending == nil && w.size != 0 && len(w.buf) == w.size && w.header.NamePtr != 0
		h = w.header
		return nil
	}); err != nil {
		return kbusdev.MsgID{}, err
	}
	if !pointy {
		return k.commit(nil)
	}
	var f fetched
	name, err := memory(h.NamePtr, int(h.NameLen))
	if err == nil && h.DataLen > 0 {
		f.data, err = memory(h.DataPtr, int(h.DataLen))
	}
	if err != nil {
		if !errors.Is(err, ErrNotYet) {
			_ = k.Discard()
		}
		return kbusdev.MsgID{}, opError("send", "", err)
	}
	f.name = name
	return k.commit(&f)
}

// OnChange has f called whenever Poll would answer otherwise than before:
// something was queued, or a pending send may find room. f is called under the
// bus's lock; it must be quick and call nothing of the bus. A device server wakes
// its pollers with it. nil stops it.
func (k *Ksock) OnChange(f func()) {
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	k.onChange = f
}

// changed is called under the bus's lock.
func (k *Ksock) changed() {
	if k.onChange != nil {
		k.onChange()
	}
}
