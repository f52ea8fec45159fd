package wire

import (
	"math/bits"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// The fields of the contract on the way to a message, and in it. All that it has is in
// message.proto and link.proto.
const (
	fieldFrame         = 1 // of LinkRequest, LinkResponse
	fieldBatch         = 2 // of Frame
	fieldFirstSequence = 1 // of Batch
	fieldMessages      = 2
	fieldAck           = 3
	fieldBetween       = 4  // of OperationBatch, EventBatch: what stands between the messages; the others are as in Batch
	fieldMissed        = 5  // of EventBatch
	fieldName          = 12 // of Message; before it are the numbers
	fieldData          = 13
	fieldBindEvent     = 14
	fieldExpires       = 15
	fieldTrace         = 16
)

// toRequest returns what carries a frame, either way: LinkRequest and LinkResponse are
// the same bytes.
func toRequest(f link.Frame, now time.Time) proto.Message {
	return &pb.LinkRequest{Frame: FrameToProto(f, now)}
}

// sharedData is how long data must be to be given to gRPC without a copy.
const sharedData = 4 << 10

// marshalBatch encodes a batch as a LinkRequest.
func marshalBatch(batch *link.Batch, now time.Time) mem.BufferSlice {
	return marshalParts(batch, 0, &onlyMessages, now, fieldBatch, fieldFrame)
}

// A shape says how the parts of a batch are encoded.
type shape[T any] struct {
	// message returns the message that a part is, nil for what stands between messages. The
	// others are for that: after is how many messages come before it.
	message func(p *T) *kbusdev.Message
	// size returns the size, and how much of it is data that is not copied.
	size func(p *T, after int, now time.Time) (n, shared int)
	// append appends the fields.
	append func(d draft, p *T, after int, now time.Time) draft
}

var onlyMessages = shape[kbusdev.Message]{message: func(m *kbusdev.Message) *kbusdev.Message { return m }}

// marshalParts encodes a batch in these fields, the innermost first; missed is for a program.
func marshalParts[T any](batch *link.BatchOf[T], missed uint64, s *shape[T], now time.Time, fields ...int) mem.BufferSlice {
	var sizes [link.MaxBatchMessages]int
	inBatch, shared, messages := varintField(batch.First)+varintField(batch.Ack)+varintField(missed), 0, 0
	for i := range batch.Messages {
		var n, without int
		if m := s.message(&batch.Messages[i]); m != nil {
			n, without = messageSize(m, now), sharedBytes(m)
			messages++
		} else {
			n, without = s.size(&batch.Messages[i], messages, now)
		}
		sizes[i] = n
		inBatch += 1 + sizeOf(n)
		shared += without
	}
	whole := inBatch
	var inside [2]int // what is in each of the fields
	for i := range fields {
		inside[i] = whole
		whole = 1 + sizeOf(whole)
	}

	memory := Pool.Get(whole - shared)
	d := draft{bytes: (*memory)[:0]}
	for i := len(fields) - 1; i >= 0; i-- {
		d.bytes = appendLen(d.bytes, fields[i], inside[i])
	}
	d.bytes = appendVarintField(d.bytes, fieldFirstSequence, batch.First)
	for i := range batch.Messages {
		if m := s.message(&batch.Messages[i]); m != nil {
			d = d.message(fieldMessages, m, sizes[i], now)
		}
	}
	d.bytes = appendVarintField(d.bytes, fieldAck, batch.Ack)
	if messages < len(batch.Messages) {
		after := 0
		for i := range batch.Messages {
			if s.message(&batch.Messages[i]) != nil {
				after++
				continue
			}
			d.bytes = appendLen(d.bytes, fieldBetween, sizes[i])
			d = s.append(d, &batch.Messages[i], after, now)
		}
	}
	d.bytes = appendVarintField(d.bytes, fieldMissed, missed)
	*memory = d.bytes
	return cutAt(mem.NewBuffer(memory, &Pool), d.cuts)
}

// A draft is what has been encoded so far, without the data that is not copied.
type draft struct {
	bytes []byte
	cuts  []cut
}

// message appends a message of this size as a field.
func (d draft) message(field int, m *kbusdev.Message, size int, now time.Time) draft {
	b := appendLen(d.bytes, field, size)
	b = appendNumbers(b, m)
	b = appendString(b, fieldName, m.Name)
	switch {
	case m.Event != nil:
		b = appendEvent(b, m.Event)
	case sharedBytes(m) > 0:
		b = appendLen(b, fieldData, len(m.Data))
		d.cuts = append(d.cuts, cut{len(b), m.Data})
	default:
		b = appendBytes(b, fieldData, m.Data)
	}
	d.bytes = appendTrace(appendVarintField(b, fieldExpires, expiresInMs(m, now)), m.Trace)
	return d
}

// A cut is where data belongs that is not copied.
type cut struct {
	at   int
	data []byte
}

// cutAt puts the data between the parts of a buffer, which it takes over.
func cutAt(whole mem.Buffer, cuts []cut) mem.BufferSlice {
	out := make(mem.BufferSlice, 0, 1+2*len(cuts))
	done := 0
	for _, c := range cuts {
		var before mem.Buffer
		before, whole = mem.SplitUnsafe(whole, c.at-done)
		out = append(out, before, mem.SliceBuffer(c.data))
		done = c.at
	}
	if whole.Len() == 0 {
		whole.Free()
		return out
	}
	return append(out, whole)
}

// sharedBytes returns how much of a message is given to gRPC without a copy.
func sharedBytes(m *kbusdev.Message) int {
	if m.Event != nil || len(m.Data) < sharedData {
		return 0
	}
	return len(m.Data)
}

// numbers returns the fields 1 to 11 of a message.
func numbers(m *kbusdev.Message) [11]uint32 {
	return [11]uint32{
		m.ID.Network, m.ID.Serial, m.InReplyTo.Network, m.InReplyTo.Serial, uint32(m.To), uint32(m.From),
		m.OrigFrom.Network, uint32(m.OrigFrom.Local), m.FinalTo.Network, uint32(m.FinalTo.Local), uint32(m.Flags),
	}
}

func messageSize(m *kbusdev.Message, now time.Time) (n int) {
	for _, v := range numbers(m) {
		n += varintField(uint64(v))
	}
	n += bytesField(len(m.Name)) + varintField(expiresInMs(m, now))
	if m.Trace != nil {
		n += traceField
	}
	if m.Event != nil {
		return n + 1 + sizeOf(eventSize(m.Event))
	}
	return n + bytesField(len(m.Data))
}

func appendNumbers(b []byte, m *kbusdev.Message) []byte {
	for i, v := range numbers(m) {
		b = appendVarintField(b, i+1, uint64(v))
	}
	return b
}

func eventSize(e *kbusdev.BindEvent) int {
	return boolField(e.Bound) + varintField(uint64(e.Binder)) + bytesField(len(e.Name))
}

func appendEvent(b []byte, e *kbusdev.BindEvent) []byte {
	b = appendLen(b, fieldBindEvent, eventSize(e))
	b = appendBool(b, 1, e.Bound)
	b = appendVarintField(b, 2, uint64(e.Binder))
	return appendString(b, 3, e.Name)
}

// traceField is the size of a trace context with its tag and length.
const traceField = 2 + 1 + kbusdev.TraceContextSize

func appendTrace(b []byte, c *kbusdev.TraceContext) []byte {
	if c == nil {
		return b
	}
	b = protowire.AppendTag(b, fieldTrace, protowire.BytesType)
	b = protowire.AppendVarint(b, kbusdev.TraceContextSize)
	b, _ = c.AppendBinary(b)
	return b
}

// varintField returns the size of a number with its tag: nothing if it is 0. All tags
// but that of a trace context take one byte.
func varintField(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + varintSize(v)
}

// bytesField returns the size of so many bytes with their tag: nothing if there are none.
func bytesField(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + sizeOf(n)
}

func boolField(v bool) int {
	if v {
		return 2
	}
	return 0
}

func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// sizeOf returns the size of n bytes with their length before them.
func sizeOf(n int) int { return varintSize(uint64(n)) + n }

func appendVarintField(b []byte, field int, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = append(b, byte(field<<3)) // protowire.VarintType is 0
	return protowire.AppendVarint(b, v)
}

// appendLen appends a tag and the length of what follows.
func appendLen(b []byte, field, n int) []byte {
	b = append(b, byte(field<<3|int(protowire.BytesType)))
	return protowire.AppendVarint(b, uint64(n))
}

func appendBool(b []byte, field int, v bool) []byte {
	if v {
		return append(b, byte(field<<3), 1)
	}
	return b
}

func appendString(b []byte, field int, s string) []byte {
	if s == "" {
		return b
	}
	return append(appendLen(b, field, len(s)), s...)
}

func appendBytes(b []byte, field int, data []byte) []byte {
	if len(data) == 0 {
		return b
	}
	return append(appendLen(b, field, len(data)), data...)
}
