package abi

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"testing"
)

// What a C compiler says of the module's header on amd64.
func TestNumbersAsTheCompilerSeesThem(t *testing.T) {
	f, err := os.Open("testdata/abi-linux-amd64.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := IoctlsFor(8, GenericCoding)
	ioctls := map[string]uint32{
		"KBUS_IOC_RESET": n.Reset, "KBUS_IOC_BIND": n.Bind, "KBUS_IOC_UNBIND": n.Unbind, "KBUS_IOC_KSOCKID": n.KsockID,
		"KBUS_IOC_REPLIER": n.Replier, "KBUS_IOC_NEXTMSG": n.NextMsg, "KBUS_IOC_LENLEFT": n.LenLeft,
		"KBUS_IOC_SEND": n.Send, "KBUS_IOC_DISCARD": n.Discard, "KBUS_IOC_LASTSENT": n.LastSent,
		"KBUS_IOC_MAXMSGS": n.MaxMsgs, "KBUS_IOC_NUMMSGS": n.NumMsgs, "KBUS_IOC_UNREPLIEDTO": n.UnrepliedTo,
		"KBUS_IOC_MSGONLYONCE": n.MsgOnlyOnce, "KBUS_IOC_VERBOSE": n.Verbose, "KBUS_IOC_NEWDEVICE": n.NewDevice,
		"KBUS_IOC_REPORTREPLIERBINDS": n.ReportReplierBinds, "KBUS_IOC_MAXMSGSIZE": n.MaxMsgSize,
	}
	seen := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var name string
		var value int
		line := lines.Text()
		switch {
		case scan(line, "KBUS_IOC_%s 0x%x", &name, &value):
			if got := ioctls["KBUS_IOC_"+name]; got != uint32(value) {
				t.Errorf("%s = %#x, C says %#x", name, got, value)
			}
		case scan(line, "offset %s %d", &name, &value):
			if got := offsetOf(t, name); got != value {
				t.Errorf("offset of %s = %d, C says %d", name, got, value)
			}
		case scan(line, "sizeof header %d", &value):
			if got := LittleEndian64.HeaderSize(); got != value {
				t.Errorf("header size = %d, C says %d", got, value)
			}
		default:
			t.Errorf("what is this line? %q", line)
		}
		seen++
	}
	if seen != 18+14+1 {
		t.Errorf("%d lines read, 33 expected", seen)
	}
}

func scan(line, format string, args ...any) bool {
	n, err := fmt.Sscanf(line, format, args...)
	return err == nil && n == len(args)
}

// offsetOf finds a field's place by writing a mark into it.
func offsetOf(t *testing.T, field string) int {
	const mark = 0x55AA55AA
	h := Header{}
	fields := map[string]func(){
		"start_guard": func() { h.StartGuard = mark }, "id": func() { h.IDNetwork = mark },
		"in_reply_to": func() { h.ReplyNetwork = mark }, "to": func() { h.To = mark }, "from": func() { h.From = mark },
		"orig_from": func() { h.OrigNetwork = mark }, "final_to": func() { h.FinalNetwork = mark },
		"extra": func() { h.Extra = mark }, "flags": func() { h.Flags = mark },
		"name_len": func() { h.NameLen = mark }, "data_len": func() { h.DataLen = mark },
		"name": func() { h.NamePtr = mark }, "data": func() { h.DataPtr = mark }, "end_guard": func() { h.EndGuard = mark },
	}
	set, ok := fields[field]
	if !ok {
		t.Fatalf("no field %q", field)
	}
	set()
	return bytes.Index(LittleEndian64.AppendHeader(nil, &h), binary.LittleEndian.AppendUint32(nil, mark))
}

func Test32BitHeader(t *testing.T) {
	l := Layout{PointerSize: 4, Order: binary.BigEndian}
	if got := l.HeaderSize(); got != 72 {
		t.Errorf("header size = %d, want 72", got)
	}
	h := Header{NamePtr: 1, DataPtr: 2, EndGuard: 3}
	b := l.AppendHeader(nil, &h)
	if len(b) != 72 || b[63] != 1 || b[67] != 2 || b[71] != 3 {
		t.Errorf("pointers and end guard are not at 60, 64, 68: % x", b[56:])
	}
	if got := IoctlsFor(4, GenericCoding).Bind; got != 0x40046b02 {
		t.Errorf("32-bit BIND = %#x", got)
	}
	if got := IoctlsFor(4, LegacyCoding); got.Reset != 0x20006b01 || got.Bind != 0x80046b02 || got.KsockID != 0x40046b04 || got.Replier != 0xc0046b05 {
		t.Errorf("mips numbers are %#x %#x %#x %#x", got.Reset, got.Bind, got.KsockID, got.Replier)
	}
}

var layouts = []Layout{
	LittleEndian64,
	{PointerSize: 8, Order: binary.BigEndian},
	{PointerSize: 4, Order: binary.LittleEndian},
	{PointerSize: 4, Order: binary.BigEndian},
}

func TestEntireRoundTrip(t *testing.T) {
	h := Header{IDNetwork: 1, IDSerial: 2, ReplyNetwork: 3, ReplySerial: 4, To: 5, From: 6, OrigNetwork: 7, OrigLocal: 8,
		FinalNetwork: 9, FinalLocal: 10, Extra: 11, Flags: 12}
	for _, l := range layouts {
		for nameLen := 1; nameLen < 9; nameLen++ {
			for dataLen := range 9 {
				name, data := string(bytes.Repeat([]byte{'n'}, nameLen)), bytes.Repeat([]byte{'d'}, dataLen)
				b := l.AppendEntire(nil, h, name, data)
				if len(b) != l.EntireSize(uint32(nameLen), uint32(dataLen)) {
					t.Fatalf("%d bytes, EntireSize says %d", len(b), l.EntireSize(uint32(nameLen), uint32(dataLen)))
				}
				got, gotName, gotData, err := l.ParseEntire(b)
				if err != nil || string(gotName) != name || !bytes.Equal(gotData, data) || got.Flags != 12 || got.FinalLocal != 10 {
					t.Fatalf("round trip: %+v %q %q %v", got, gotName, gotData, err)
				}
				for cut := range b {
					if _, _, _, err := l.ParseEntire(b[:cut]); err == nil {
						t.Fatalf("cut at %d of %d is accepted", cut, len(b))
					}
				}
			}
		}
	}
}

func FuzzParseEntire(f *testing.F) {
	for i, l := range layouts {
		f.Add(l.AppendEntire(nil, Header{Flags: 1}, "$.Ask", []byte("data")), byte(i))
		f.Add(l.AppendEntire(nil, Header{}, "$.A", nil), byte(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, which byte) {
		l := layouts[int(which)%len(layouts)]
		h, name, data, err := l.ParseEntire(b)
		if err != nil {
			return
		}
		again := l.AppendEntire(nil, h, string(name), data)
		h2, name2, data2, err := l.ParseEntire(again)
		if err != nil || h2 != h || !bytes.Equal(name, name2) || !bytes.Equal(data, data2) {
			t.Fatalf("encoding again gives %+v %q %q %v, not %+v %q %q", h2, name2, data2, err, h, name, data)
		}
	})
}
