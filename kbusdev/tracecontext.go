package kbusdev

import "encoding/hex"

// A TraceContext is W3C's trace context: the trace that a message belongs to, and the span
// that it comes from. It says nothing of the message itself.
type TraceContext struct {
	// TraceID names the trace; not all zero.
	TraceID [16]byte
	// SpanID names the span in it that is the parent of what the message causes; not all zero.
	SpanID [8]byte
	// Flags are W3C's; see Sampled.
	Flags byte
}

// TraceContextSize is how long the binary form is, in bytes.
const TraceContextSize = 16 + 8 + 1

// sampled is W3C's flag that spans of the trace are recorded.
const sampled = 1

// Sampled reports whether spans of the trace are recorded. A nil context has none.
func (c *TraceContext) Sampled() bool { return c != nil && c.Flags&sampled != 0 }

// AppendBinary appends the binary form to b: the trace id, the span id and the flags,
// TraceContextSize bytes. The error is always nil.
func (c *TraceContext) AppendBinary(b []byte) ([]byte, error) {
	b = append(append(b, c.TraceID[:]...), c.SpanID[:]...)
	return append(b, c.Flags), nil
}

// ParseTraceContext returns the context with this binary form, in memory of its own. What is
// no context gives nil: a message is not lost for its trace's sake.
func ParseTraceContext(b []byte) *TraceContext {
	if len(b) != TraceContextSize {
		return nil
	}
	c := new(TraceContext)
	copy(c.TraceID[:], b)
	copy(c.SpanID[:], b[16:])
	c.Flags = b[24]
	if c.TraceID == ([16]byte{}) || c.SpanID == ([8]byte{}) {
		return nil
	}
	return c
}

// String returns the context as the header traceparent has it.
func (c *TraceContext) String() string {
	if c == nil {
		return ""
	}
	return "00-" + hex.EncodeToString(c.TraceID[:]) + "-" + hex.EncodeToString(c.SpanID[:]) + "-" + hex.EncodeToString([]byte{c.Flags})
}
