//go:build linux

package kbusfs

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/internal/abi"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// unmounted is a device that nobody has mounted, for requests made by hand.
func unmounted(tb testing.TB) *reader {
	tb.Helper()
	set := membus.NewSet()
	s := New(Config{Set: set, Log: slog.New(slog.DiscardHandler)})
	s.stopped = true // NEWDEVICE mounts nothing
	return &reader{d: &device{server: s, bus: set.Bus(0), fd: -1, closed: true, handles: make(map[uint64]*handle)}}
}

func inRequest(opcode uint32, body []byte) []byte {
	b := order.AppendUint32(nil, uint32(inHeaderSize+len(body)))
	b = order.AppendUint32(b, opcode)
	b = order.AppendUint64(b, 1)             // unique
	b = append(b, make([]byte, 24)...)       // node, uid, gid, pid 0, padding
	return append(b[:inHeaderSize], body...) // pid 0 is nobody, so nobody's memory is read
}

func words(v ...uint32) (b []byte) {
	for _, w := range v {
		b = order.AppendUint32(b, w)
	}
	return b
}

func do(t *testing.T, r *reader, raw []byte) ([]byte, uint32) {
	t.Helper()
	q, ok := parseRequest(raw)
	if !ok {
		t.Fatalf("no request: % x", raw)
	}
	payload, errno, _ := r.handle(&q)
	return payload, uint32(errno)
}

func TestARequestAfterTheOther(t *testing.T) {
	r := unmounted(t)
	if out := initReply(words(7, 45, 0, 0xffffffff)); len(out) != 64 || order.Uint32(out[4:]) != 31 || order.Uint16(out[16:]) != maxBackground {
		t.Errorf("INIT: % x", out)
	}
	out, errno := do(t, r, inRequest(opOpen, words(2, 0)))
	if errno != 0 || order.Uint64(out) != 1 || order.Uint32(out[8:]) != openFlags {
		t.Fatalf("OPEN: % x, %d", out, errno)
	}
	fh := words(1, 0)
	m := kbusdev.AppendEntire(nil, kbusdev.HostLayout, &kbusdev.Message{Name: "$.A"})
	body := append(append(append([]byte{}, fh...), words(0, 0, uint32(len(m)), 0, 0, 0, 0, 0)...), m...)
	if out, errno := do(t, r, inRequest(opWrite, body)); errno != 0 || order.Uint32(out) != uint32(len(m)) {
		t.Errorf("WRITE: % x, %d", out, errno)
	}
	ioctl := func(number uint32) ([]byte, uint32) {
		return do(t, r, inRequest(opIoctl, append(append([]byte{}, fh...), words(0, number, 0, 0, 8, 8, 0, 0)...)))
	}
	if out, errno := ioctl(abi.HostIoctls.Send); errno != 0 || len(out) != 16+8 || order.Uint32(out[20:]) != 1 {
		t.Errorf("SEND: % x, %d", out, errno)
	}
	if out, errno := ioctl(0x5401); errno != 0 || int32(order.Uint32(out)) != -25 {
		t.Errorf("TCGETS: % x, %d", out, errno)
	}
	if _, errno := do(t, r, inRequest(opRelease, words(1, 0, 0, 0, 0, 0))); errno != 0 {
		t.Errorf("RELEASE: %d", errno)
	}
	if _, errno := ioctl(abi.HostIoctls.Send); errno != 9 {
		t.Errorf("an ioctl after the release: %d, want EBADF", errno)
	}
}

// With CUSE an ioctl comes again until the kernel has brought all of the caller's
// memory that it needs: here, the argument and then the name.
func TestACopiedIoctl(t *testing.T) {
	const arg, name = 0x1000, 0x2000
	if kbusdev.HostLayout.PointerSize != 8 {
		t.Skip("the numbers below are of a 64-bit machine")
	}
	r := unmounted(t)
	r.d.server.by = CUSE
	do(t, r, inRequest(opOpen, words(2, 0)))
	ioctl := func(number, outSize uint32, in []byte) ([]byte, int32) {
		t.Helper()
		out, errno := do(t, r, inRequest(opIoctl, append(words(1, 0, 0, number, arg, 0, uint32(len(in)), outSize), in...)))
		if errno != 0 {
			t.Fatalf("errno %d", errno)
		}
		return out[16:], int32(order.Uint32(out))
	}
	again := func(number, outSize uint32, in []byte, want ...uint64) {
		t.Helper()
		var regions []byte
		for _, w := range want {
			regions = order.AppendUint64(regions, w)
		}
		if got, _ := ioctl(number, outSize, in); string(got) != string(regions) {
			t.Fatalf("asks for % x, want % x", got, regions)
		}
	}
	argument := append(words(1, 3), order.AppendUint64(nil, name)...)
	bind := abi.HostIoctls.Bind
	again(bind, 0, nil, arg, 16)
	again(bind, 0, argument, arg, 16, name, 3)
	if _, result := ioctl(bind, 0, append(argument, "$.A"...)); result != 0 {
		t.Fatalf("BIND: %d", result)
	}
	again(abi.HostIoctls.Replier, 0, nil, arg, 16, arg, 4)
	again(abi.HostIoctls.Replier, 4, argument, arg, 16, name, 3, arg, 4)
	if out, result := ioctl(abi.HostIoctls.Replier, 4, append(argument, "$.A"...)); result != 1 || order.Uint32(out) != 1 {
		t.Fatalf("REPLIER: % x, %d", out, result)
	}
	again(abi.HostIoctls.NumMsgs, 0, nil, arg, 4)
	if out, result := ioctl(abi.HostIoctls.NumMsgs, 4, nil); result != 0 || len(out) != 4 {
		t.Fatalf("NUMMSGS: % x, %d", out, result)
	}
	long := append(words(1, kbusdev.MaxNameLen+1), order.AppendUint64(nil, name)...)
	if _, result := ioctl(bind, 0, long); result != -36 {
		t.Errorf("a name too long: %d, want ENAMETOOLONG", result)
	}

	// A pointy message waits, whole, until its name and data are there.
	h := kbusdev.HostLayout
	m := kbusdev.AppendEntire(nil, h, &kbusdev.Message{Name: "$.A", Flags: kbusdev.WantReply, Data: []byte("hello")})[:h.HeaderSize()]
	order.PutUint64(m[len(m)-24:], name)
	order.PutUint64(m[len(m)-16:], name+8)
	body := append(words(1, 0, 0, 0, uint32(len(m)), 0, 0, 0, 0, 0), m...)
	if _, errno := do(t, r, inRequest(opWrite, body)); errno != 0 {
		t.Fatalf("WRITE: %d", errno)
	}
	send := abi.HostIoctls.Send
	again(send, 0, nil, arg, 8)
	again(send, 8, nil, name, 3, arg, 8)
	again(send, 8, []byte("$.A"), name, 3, name+8, 5, arg, 8)
	if out, result := ioctl(send, 8, []byte("$.Ahello")); result != 0 || order.Uint32(out[4:]) != 1 {
		t.Fatalf("SEND: % x, %d", out, result)
	}
	if got, err := r.d.handles[1].ksock.Recv(t.Context()); err != nil || string(got.Data) != "hello" {
		t.Errorf("received %+v, %v", got, err)
	}
}

// No request makes the server panic, whatever it says.
func FuzzRequests(f *testing.F) {
	f.Add(inRequest(opInit, words(7, 45, 0, 0)))
	f.Add(inRequest(opWrite, words(1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 1)))
	f.Add(inRequest(opIoctl, words(1, 0, 0, abi.HostIoctls.Bind, 0, 0, 8, 8, 1, 3)))
	f.Add(inRequest(opPoll, words(1, 0, 5, 0, 1, 0)))
	f.Add(inRequest(opRead, words(1, 0, 0, 0, 0xffffffff, 0)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := unmounted(t)
		if len(raw)%2 == 1 {
			r.d.server.by = CUSE
		}
		do(t, r, inRequest(opOpen, words(2, 0)))
		q, ok := parseRequest(raw)
		if !ok {
			return
		}
		q.pid = 0
		payload, errno, _ := r.handle(&q)
		if len(appendReply(nil, 1, uint32(errno), payload)) < outHeaderSize {
			t.Error("a reply shorter than its header")
		}
	})
}

// A step of a device program's, as FuzzPrograms has them: what it does, by number, a byte that
// says how, and what it brings.
func step(does, how byte, brings []byte) []byte {
	return append([]byte{does, how, byte(len(brings))}, brings...)
}

// bound is the argument of an ioctl that names something, and the name.
func bound(as kbusdev.Role, name string) []byte {
	role := uint32(0)
	if as {
		role = 1
	}
	return append(append(words(role, uint32(len(name))), order.AppendUint64(nil, 0x2000)...), name...)
}

// No program makes the server panic, or answer what is no answer, whatever it does with two
// Ksocks of a device, and whatever it brings.
func FuzzPrograms(f *testing.F) {
	numbers := []uint32{
		abi.HostIoctls.Bind, abi.HostIoctls.Unbind, abi.HostIoctls.Replier, abi.HostIoctls.NextMsg, abi.HostIoctls.LenLeft, abi.HostIoctls.Send,
		abi.HostIoctls.Discard, abi.HostIoctls.LastSent, abi.HostIoctls.MaxMsgs, abi.HostIoctls.NumMsgs, abi.HostIoctls.UnrepliedTo, abi.HostIoctls.MsgOnlyOnce,
		abi.HostIoctls.Verbose, abi.HostIoctls.NewDevice, abi.HostIoctls.ReportReplierBinds, abi.HostIoctls.MaxMsgSize, abi.HostIoctls.KsockID, abi.HostIoctls.Reset,
	}
	const ioctl, write, read, poll, release, raw, second = 0, 1, 2, 3, 4, 5, 0x80 // second is the other Ksock's
	entire := kbusdev.AppendEntire(nil, kbusdev.HostLayout, &kbusdev.Message{Name: "$.A", Flags: kbusdev.WantReply, Data: []byte("x")})
	asked := slices.Concat(step(ioctl|second, 0, bound(kbusdev.Replier, "$.A")), step(ioctl, 0, bound(kbusdev.Listener, "$.*")), step(write, 0, entire), step(ioctl, 5, nil))
	for _, cuse := range []bool{false, true} {
		f.Add(slices.Concat(asked, step(ioctl|second, 3, nil), step(read|second, 255, nil), step(poll, 1, nil), step(ioctl|second, 10, nil), step(release|second, 0, nil), step(ioctl, 3, nil)), cuse)
		f.Add(slices.Concat(step(ioctl, 2, bound(kbusdev.Replier, "$.B")), step(ioctl, 1, bound(kbusdev.Replier, "$.A")), step(ioctl, 13, nil), step(raw, opWrite, words(1, 0, 0, 0, 9))), cuse)
	}
	f.Fuzz(func(t *testing.T, script []byte, cuse bool) {
		r := unmounted(t)
		if cuse {
			r.d.server.by = CUSE
		}
		for range 2 {
			do(t, r, inRequest(opOpen, words(2, 0)))
		}
		for len(script) > 2 {
			does, how, n := script[0], script[1], min(int(script[2]), len(script)-3)
			brings := script[3 : 3+n]
			script = script[3+n:]
			fh := words(1+uint32(does>>7), 0)
			var q []byte
			switch does &^ second {
			case ioctl:
				q = inRequest(opIoctl, slices.Concat(fh, words(0, numbers[int(how)%len(numbers)], 0x1000, 0, uint32(n), 255), brings))
			case write:
				q = inRequest(opWrite, slices.Concat(fh, words(0, 0, uint32(n), 0, 0, 0, 0, 0), brings))
			case read:
				q = inRequest(opRead, slices.Concat(fh, words(0, 0, uint32(how), 0)))
			case poll:
				q = inRequest(opPoll, slices.Concat(fh, words(5, 0, uint32(how), 0)))
			case release:
				q = inRequest(opRelease, slices.Concat(fh, words(0, 0, 0, 0)))
			default:
				q = inRequest(uint32(how), brings)
			}
			payload, errno := do(t, r, q)
			answer := appendReply(nil, 1, errno, payload)
			if int(order.Uint32(answer)) != len(answer) || errno > 133 || errno != 0 && len(answer) > outHeaderSize || len(answer) > outHeaderSize+maxWrite {
				t.Fatalf("% x is answered with errno %d: % x", q, errno, answer)
			}
		}
	})
}
