package kbusfs

import (
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// An argument is what the kernel has copied of an ioctl's argument.
type argument struct {
	address uint64
	b       []byte
}

func (a *argument) get(address uint64, n int) (b []byte, ok bool) {
	at := address - a.address
	if at > uint64(len(a.b)) || int(at)+n > len(a.b) {
		return nil, false
	}
	return slices.Clone(a.b[at:][:n]), true
}

// With FUSE the kernel copies the eight bytes of the argument that the ioctl's
// number claims; the rest is read as a debugger would. A caller can make that take
// for ever.
type tracedMemory struct {
	argument
	r      *reader
	unique uint64
	pid    int
}

// read needs root, or CAP_SYS_PTRACE over the caller, else the error is EPERM.
func (m *tracedMemory) read(address uint64, n int) ([]byte, error) {
	if b, ok := m.get(address, n); ok {
		return b, nil
	}
	b := make([]byte, n)
	if n == 0 {
		return b, nil
	}
	watchdog := time.AfterFunc(holdUp, m.r.replace)
	defer watchdog.Stop()
	var decided atomic.Bool
	late := time.AfterFunc(giveUp, func() {
		if decided.CompareAndSwap(false, true) {
			m.r.d.server.cfg.Log.Warn("a program's memory could not be read in time; its call fails with EFAULT",
				"path", m.r.d.path, "pid", programOf(0, 0, uint32(m.pid)).PID, "waited", giveUp)
			_ = m.r.d.answer(appendReply(nil, m.unique, uint32(unix.EFAULT), nil))
		}
	})
	defer late.Stop()
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(n)
	got, err := unix.ProcessVMReadv(m.pid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: n}}, 0)
	if !decided.CompareAndSwap(false, true) {
		m.r.answered = true
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

// With CUSE the kernel copies what it is asked for, in the caller's own time, and
// then brings the ioctl again. What it was asked for is not remembered here: after
// its argument the ioctl reads the same again, in the same order, and once more
// than it did before.
type copiedMemory struct {
	argument
	data    []byte   // what came behind the argument
	regions []region // what to ask for next time
	asked   int
	more    memory
}

// maxCopied is how much the kernel copies at once: it has room for 32 pages.
const maxCopied = 30 * 4096

func (m *copiedMemory) read(address uint64, n int) ([]byte, error) {
	if b, ok := m.get(address, n); ok {
		return b, nil
	}
	if m.asked+n > maxCopied {
		return m.more.read(address, n)
	}
	m.asked += n
	m.regions = append(m.regions, region{address, n})
	if len(m.data) < n {
		m.data = nil
		return nil, membus.ErrNotYet
	}
	b := slices.Clone(m.data[:n])
	m.data = m.data[n:]
	return b, nil
}

// regionOf is a piece of an ioctl's argument, or nothing.
func regionOf(address uint64, n int) []region {
	if n == 0 {
		return nil
	}
	return []region{{address, n}}
}
