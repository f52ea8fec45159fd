package kbusdev_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

func TestNames(t *testing.T) {
	long := "$." + strings.Repeat("a", kbusdev.MaxNameLen-2)
	for _, c := range []struct {
		name       string
		send, bind error
	}{
		{"$.A", nil, nil},
		{"$.Fred.Jim42", nil, nil},
		{long, nil, nil},
		{long + "a", syscall.ENAMETOOLONG, syscall.ENAMETOOLONG},
		{"$.*", syscall.EBADMSG, nil},
		{"$.%", syscall.EBADMSG, nil},
		{"$.A.*", syscall.EBADMSG, nil},
		{"$.A.%", syscall.EBADMSG, nil},
		{"", syscall.EBADMSG, syscall.EBADMSG},
		{"$", syscall.EBADMSG, syscall.EBADMSG},
		{"$.", syscall.EBADMSG, syscall.EBADMSG},
		{"A.B", syscall.EBADMSG, syscall.EBADMSG},
		{"$A.B", syscall.EBADMSG, syscall.EBADMSG},
		{"$..A", syscall.EBADMSG, syscall.EBADMSG},
		{"$.A.", syscall.EBADMSG, syscall.EBADMSG},
		{"$.A..B", syscall.EBADMSG, syscall.EBADMSG},
		{"$.A.*.B", syscall.EBADMSG, syscall.EBADMSG},
		{"$.A*", syscall.EBADMSG, syscall.EBADMSG},
		{"$.**", syscall.EBADMSG, syscall.EBADMSG},
		{"$.A..*", syscall.EBADMSG, syscall.EBADMSG},
		{"$.A b", syscall.EBADMSG, syscall.EBADMSG},
		{"$.\xe9", syscall.EBADMSG, syscall.EBADMSG},
		{"$.A\x00", syscall.EBADMSG, syscall.EBADMSG},
	} {
		if got := kbusdev.CheckName(c.name); got != c.send {
			t.Errorf("CheckName(%.20q) = %v, want %v", c.name, got, c.send)
		}
		if got := kbusdev.CheckBindName(c.name); got != c.bind {
			t.Errorf("CheckBindName(%.20q) = %v, want %v", c.name, got, c.bind)
		}
	}
}

func TestMatchesAndNarrower(t *testing.T) {
	for _, c := range []struct {
		binding, name string
		want          bool
	}{
		{"$.A.B", "$.A.B", true}, {"$.A.B", "$.A.C", false},
		{"$.*", "$.A", true}, {"$.*", "$.A.B.C", true},
		{"$.A.*", "$.A", false}, {"$.A.*", "$.AB.C", false}, {"$.A.*", "$.A.B.C", true},
		{"$.A.%", "$.A.B", true}, {"$.A.%", "$.A.B.C", false}, {"$.A.%", "$.A", false},
	} {
		if got := kbusdev.Matches(c.binding, c.name); got != c.want {
			t.Errorf("Matches(%q, %q) = %v", c.binding, c.name, got)
		}
	}
	for _, c := range []struct{ a, b, want string }{
		{"$.*", "$.A", "$.A"}, {"$.A", "$.A", "$.A"}, {"$.A.*", "$.A.%", "$.A.%"},
		{"$.A.%", "$.A.B", "$.A.B"}, {"$.A.%", "$.A.B.C", ""}, {"$.A.*", "$.B.*", ""},
		{"$.%", "$.A.*", ""}, {"$.A.*", "$.A.B.*", "$.A.B.*"}, {"$.A.%", "$.A.B.%", ""}, {"$.*", "$.%", "$.%"},
	} {
		for _, swap := range []bool{false, true} {
			a, b := c.a, c.b
			if swap {
				a, b = b, a
			}
			if got, ok := kbusdev.Narrower(a, b); got != c.want || ok != (c.want != "") {
				t.Errorf("Narrower(%q, %q) = %q, %v; want %q", a, b, got, ok, c.want)
			}
		}
	}
}

// No byte string makes the name functions panic, and what they accept fits
// together: a binding covers what it matches, and nothing matches a bad name.
func FuzzNames(f *testing.F) {
	for _, s := range [][2]string{{"$.*", "$.A"}, {"$.A.%", "$.A.B"}, {"$", "$.."}, {"$.A.*", "$.A.B.*"}, {"", "$.\xff"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, binding, name string) {
		if kbusdev.CheckBindName(binding) != nil {
			return
		}
		if kbusdev.CheckName(name) == nil && kbusdev.Matches(binding, name) != kbusdev.Covers(binding, name) {
			t.Errorf("%q and %q: Matches and Covers differ", binding, name)
		}
		if kbusdev.CheckName(name) == nil && kbusdev.CheckBindName(name) != nil {
			t.Errorf("%q can be sent but not bound", name)
		}
	})
}

func TestBindEventRoundTrip(t *testing.T) {
	for _, order := range []kbusdev.Layout{kbusdev.LittleEndian64, {PointerSize: 4, Order: binary.BigEndian}} {
		for _, e := range []kbusdev.BindEvent{{Bound: true, Binder: 7, Name: "$.A"}, {Binder: 9, Name: "$.Fred.*"}} {
			b := kbusdev.AppendBindEvent(nil, e, order.Order)
			got, err := kbusdev.ParseBindEvent(b, order.Order)
			if err != nil || got != e {
				t.Errorf("%+v came back as %+v, %v", e, got, err)
			}
			for cut := range b {
				if _, err := kbusdev.ParseBindEvent(b[:cut], order.Order); !errors.Is(err, kbusdev.ErrBadBindEvent) {
					t.Errorf("cut at %d: %v", cut, err)
				}
			}
		}
	}
}

func FuzzParseBindEvent(f *testing.F) {
	f.Add(kbusdev.AppendBindEvent(nil, kbusdev.BindEvent{Bound: true, Binder: 1, Name: "$.A.*"}, binary.LittleEndian))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := kbusdev.ParseBindEvent(b, binary.LittleEndian)
		if err == nil {
			if again, err := kbusdev.ParseBindEvent(kbusdev.AppendBindEvent(nil, e, binary.LittleEndian), binary.LittleEndian); err != nil || again != e {
				t.Fatalf("%+v came back as %+v, %v", e, again, err)
			}
		}
	})
}

func TestErrorsNameTheErrno(t *testing.T) {
	err := error(&kbusdev.OpError{Op: "send", Name: "$.Ask", Err: syscall.EADDRNOTAVAIL})
	if !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Error("errors.Is does not see the errno")
	}
	if s := err.Error(); !strings.Contains(s, "$.Ask") || !strings.Contains(s, "EADDRNOTAVAIL") {
		t.Errorf("error says %q", s)
	}
	for _, word := range []string{"EADDRNOTAVAIL", "99"} {
		if e, ok := kbusdev.ErrnoFromName(word); !ok || e != syscall.EADDRNOTAVAIL {
			t.Errorf("ErrnoFromName(%q) = %v, %v", word, e, ok)
		}
	}
	if _, ok := kbusdev.ErrnoFromName("NotDelivered"); ok {
		t.Error("NotDelivered is taken for an errno")
	}
}
