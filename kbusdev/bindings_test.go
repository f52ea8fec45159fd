package kbusdev_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/kbus-limpet/limpet/kbusdev"
)

const listHeader = "# <device> is bound to <Ksock-ID> in <process-PID> as <Replier|Listener> for <message-name>\n"

// listLine writes a binding as the module does.
func listLine(device uint32, b kbusdev.Binding) string {
	role := 'L'
	if b.Role == kbusdev.Replier {
		role = 'R'
	}
	return fmt.Sprintf("%3d: %8d %8d  %c  %s\n", device, b.Ksock, 4711, role, b.Name)
}

func TestParseBindings(t *testing.T) {
	long := "$." + strings.Repeat("a", kbusdev.MaxNameLen-2)
	one := kbusdev.Binding{Ksock: 1, Role: kbusdev.Listener, Name: "$.A"}
	for name, c := range map[string]struct {
		list, end string
		want      []kbusdev.Binding
		err       string
	}{
		"no device":               {},
		"no binding":              {list: listHeader + listHeader},
		"one of each device":      {list: listHeader + listLine(0, one) + listHeader + listLine(1, kbusdev.Binding{Ksock: 1, Name: "$.B"}), want: []kbusdev.Binding{one}},
		"twice, and a replier":    {list: listLine(0, one) + listLine(0, one) + listLine(0, kbusdev.Binding{Ksock: 2, Role: kbusdev.Replier, Name: "$.*"}), want: []kbusdev.Binding{one, one, {Ksock: 2, Role: kbusdev.Replier, Name: "$.*"}}},
		"as kbusd writes it":      {list: "# bindings of /dev/kbus0\n0: 1 99 L $.A\n# end\n", end: "# end", want: []kbusdev.Binding{one}},
		"numbers that are large":  {list: "  0: 4294967295 18446744073709551615  L  $.A\n", want: []kbusdev.Binding{{Ksock: 4294967295, Name: "$.A"}}},
		"the longest name":        {list: listLine(0, kbusdev.Binding{Ksock: 1, Name: long}), want: []kbusdev.Binding{{Ksock: 1, Name: long}}},
		"letters of the module's": {list: "  0:        1       99  L  $.Caf\xe9\n", want: []kbusdev.Binding{{Ksock: 1, Name: "$.Caf\xe9"}}},

		"a name that is longer":     {list: listLine(0, kbusdev.Binding{Ksock: 1, Name: long + "a"}), err: "line 1"},
		"a line that never ends":    {list: listHeader + strings.Repeat("x", 1<<16), err: "line 2 of the list is too long"},
		"cut off in a line":         {list: listHeader + "  0:        1       99  L  $.A", err: "cut off"},
		"cut off between lines":     {list: listLine(0, one), end: "# end", err: "cut off"},
		"more after the end":        {list: "# end\n" + listLine(0, one), end: "# end", err: "cut off"},
		"empty, with an end":        {end: "# end", err: "cut off"},
		"an empty line":             {list: "\n", err: "line 1"},
		"no device number":          {list: ":        1       99  L  $.A\n", err: "line 1"},
		"a device too large":        {list: "4294967296: 1 99 L $.A\n", err: "line 1"},
		"a device below 0":          {list: "-1: 1 99 L $.A\n", err: "line 1"},
		"Ksock 0":                   {list: "0: 0 99 L $.A\n", err: "line 1"},
		"a Ksock too large":         {list: "0: 4294967296 99 L $.A\n", err: "line 1"},
		"no pid":                    {list: "0: 1 L $.A\n", err: "line 1"},
		"another role":              {list: "0: 1 99 X $.A\n", err: "line 1"},
		"no name":                   {list: "0: 1 99 L \n", err: "line 1"},
		"two names":                 {list: "0: 1 99 L $.A $.B\n", err: "line 1"},
		"another device's nonsense": {list: "7: 1 99 L\n", err: "line 1"},
	} {
		got, err := kbusdev.ParseBindings(iotest.OneByteReader(strings.NewReader(c.list)), 0, c.end)
		if c.err == "" && (err != nil || !slices.Equal(got, c.want)) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
		if c.err != "" && (err == nil || got != nil || !strings.Contains(err.Error(), c.err) || len(err.Error()) > 600) {
			t.Errorf("%s: %v, %v; want an error with %q", name, got, err, c.err)
		}
	}
}

// An error while reading is not the end of the list.
func TestParseBindingsPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	list := io.MultiReader(strings.NewReader("0: 1 99 L $.A\n"), iotest.ErrReader(broken))
	if got, err := kbusdev.ParseBindings(list, 0, ""); !errors.Is(err, broken) || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// again repeats a text without end.
type again struct{ rest, text string }

func (a *again) Read(b []byte) (int, error) {
	if a.rest == "" {
		a.rest = a.text
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func TestParseBindingsIsBounded(t *testing.T) {
	short := listLine(0, kbusdev.Binding{Ksock: 1, Name: "$.A"})
	if got, err := kbusdev.ParseBindings(strings.NewReader(strings.Repeat(short, kbusdev.MaxListed)), 0, ""); err != nil || len(got) != kbusdev.MaxListed {
		t.Errorf("as many as there may be: %d, %v", len(got), err)
	}
	if _, err := kbusdev.ParseBindings(&again{text: short}, 0, ""); err == nil || !strings.Contains(err.Error(), "more than 262144 bindings") {
		t.Errorf("without end: %v", err)
	}
	comment := "#" + strings.Repeat(" ", 1000) + "\n"
	for _, text := range []string{listLine(1, kbusdev.Binding{Ksock: 1, Name: "$.A"}), comment} {
		if _, err := kbusdev.ParseBindings(&again{text: text}, 0, ""); err == nil || !strings.Contains(err.Error(), "longer than 67108864 bytes") {
			t.Errorf("without end, %q: %v", text, err)
		}
	}
}

// What is read is what was written, and no list makes it panic or take what is no
// binding.
func FuzzParseBindings(f *testing.F) {
	f.Add([]byte(listHeader+listLine(0, kbusdev.Binding{Ksock: 1, Name: "$.A"})+listLine(0, kbusdev.Binding{Ksock: 2, Role: kbusdev.Replier, Name: "$.B.*"})), uint32(0))
	f.Add([]byte(listHeader+listHeader+listLine(1, kbusdev.Binding{Ksock: 9, Name: "$.%"})), uint32(1))
	f.Add([]byte("# bindings of /dev/kbus0\n0: 1 99 L $.A\n# end\n"), uint32(0))
	f.Fuzz(func(t *testing.T, list []byte, device uint32) {
		all, err := kbusdev.ParseBindings(bytes.NewReader(list), device, "")
		if err != nil {
			if all != nil {
				t.Error("a part of a bad list is given")
			}
			return
		}
		var written strings.Builder
		for _, b := range all {
			if b.Ksock == 0 || b.Name == "" || len(b.Name) > kbusdev.MaxNameLen || strings.ContainsAny(b.Name, " \n") {
				t.Errorf("%+v is no binding", b)
			}
			written.WriteString(listLine(device, b))
		}
		if bytes.Count(list, []byte("\n")) < len(all) {
			t.Errorf("%d bindings in %q", len(all), list)
		}
		again, err := kbusdev.ParseBindings(strings.NewReader(written.String()), device, "")
		if err != nil || !slices.Equal(again, all) {
			t.Errorf("%v is read again as %v, %v", all, again, err)
		}
	})
}

func BenchmarkParseBindings(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		var list bytes.Buffer
		list.WriteString(listHeader)
		for i := range n {
			list.WriteString(listLine(0, kbusdev.Binding{Ksock: 7, Name: fmt.Sprintf("$.Service%d.Event", i)}))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if all, err := kbusdev.ParseBindings(bytes.NewReader(list.Bytes()), 0, ""); err != nil || len(all) != n {
					b.Fatal(len(all), err)
				}
			}
		})
	}
}
