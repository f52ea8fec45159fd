package kbusdev

import (
	"bytes"
	"testing"
)

func TestTraceContext(t *testing.T) {
	c := &TraceContext{TraceID: [16]byte{0x4b, 15: 0x36}, SpanID: [8]byte{1, 7: 2}, Flags: 1}
	if got, want := c.String(), "00-4b000000000000000000000000000036-0100000000000002-01"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	b, err := c.AppendBinary([]byte("x"))
	if err != nil || len(b) != 1+TraceContextSize {
		t.Fatalf("%x, %v", b, err)
	}
	again := ParseTraceContext(b[1:])
	if again == nil || *again != *c || !again.Sampled() {
		t.Errorf("%v comes back as %v", c, again)
	}
	b[1] = 9
	if again.TraceID != c.TraceID {
		t.Error("it shares the bytes that it was made of")
	}
	none := (*TraceContext)(nil)
	if none.Sampled() || none.String() != "" {
		t.Error("no context says something")
	}
}

// What is no context is none.
func TestNoTraceContext(t *testing.T) {
	whole := bytes.Repeat([]byte{1}, TraceContextSize)
	for n := range TraceContextSize {
		if ParseTraceContext(whole[:n]) != nil {
			t.Errorf("%d bytes are one", n)
		}
	}
	noTrace, noSpan := bytes.Clone(whole), bytes.Clone(whole)
	clear(noTrace[:16])
	clear(noSpan[16:24])
	for _, b := range [][]byte{append(bytes.Clone(whole), 1), noTrace, noSpan} {
		if ParseTraceContext(b) != nil {
			t.Errorf("%x is one", b)
		}
	}
}
