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
	return marshalMessages(batch, 0, func(m *kbusdev.Message) *kbusdev.Message { return m }, now, fieldBatch, fieldFrame)
}

// marshalMessages encodes a batch in these fields, the innermost first; message returns the
// message in each of its parts, and missed is for a program.
func marshalMessages[T any](batch *link.BatchOf[T], missed uint64, message func(*T) *kbusdev.Message, now time.Time, fields ...int) mem.BufferSlice {
	var sizes [link.MaxBatchMessages]int
	inBatch, shared := varintField(batch.First)+varintField(batch.Ack)+varintField(missed), 0
	for i := range batch.Messages {
		m := message(&batch.Messages[i])
		sizes[i] = messageSize(m, now)
		inBatch += 1 + sizeOf(sizes[i])
		if sharesData(m) {
			shared += len(m.Data)
		}
	}
	whole := inBatch
	var inside [2]int // what is in each of the fields
	for i := range fields {
		inside[i] = whole
		whole = 1 + sizeOf(whole)
	}

	memory := Pool.Get(whole - shared)
	b := (*memory)[:0]
	var cuts []cut
	for i := len(fields) - 1; i >= 0; i-- {
		b = appendLen(b, fields[i], inside[i])
	}
	b = appendVarintField(b, fieldFirstSequence, batch.First)
	for i := range batch.Messages {
		m := message(&batch.Messages[i])
		b = appendLen(b, fieldMessages, sizes[i])
		b = appendNumbers(b, m)
		b = appendString(b, fieldName, m.Name)
		switch {
		case m.Event != nil:
			b = appendEvent(b, m.Event)
		case sharesData(m):
			b = appendLen(b, fieldData, len(m.Data))
			cuts = append(cuts, cut{len(b), m.Data})
		case len(m.Data) > 0:
			b = appendLen(b, fieldData, len(m.Data))
			b = append(b, m.Data...)
		}
		b = appendVarintField(b, fieldExpires, expiresInMs(m, now))
	}
	b = appendVarintField(b, fieldAck, batch.Ack)
	b = appendVarintField(b, fieldMissed, missed)
	*memory = b
	return cutAt(mem.NewBuffer(memory, &Pool), cuts)
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

func sharesData(m *kbusdev.Message) bool { return m.Event == nil && len(m.Data) >= sharedData }

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
	if len(m.Name) > 0 {
		n += 1 + sizeOf(len(m.Name))
	}
	switch {
	case m.Event != nil:
		n += 1 + sizeOf(eventSize(m.Event))
	case len(m.Data) > 0:
		n += 1 + sizeOf(len(m.Data))
	}
	return n + varintField(expiresInMs(m, now))
}

func appendNumbers(b []byte, m *kbusdev.Message) []byte {
	for i, v := range numbers(m) {
		b = appendVarintField(b, i+1, uint64(v))
	}
	return b
}

func eventSize(e *kbusdev.BindEvent) (n int) {
	if e.Bound {
		n = 2
	}
	n += varintField(uint64(e.Binder))
	if len(e.Name) > 0 {
		n += 1 + sizeOf(len(e.Name))
	}
	return n
}

func appendEvent(b []byte, e *kbusdev.BindEvent) []byte {
	b = appendLen(b, fieldBindEvent, eventSize(e))
	if e.Bound {
		b = append(b, 1<<3, 1)
	}
	b = appendVarintField(b, 2, uint64(e.Binder))
	return appendString(b, 3, e.Name)
}

// varintField returns the size of a number with its tag: nothing if it is 0. All tags
// here take one byte.
func varintField(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + varintSize(v)
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

func appendString(b []byte, field int, s string) []byte {
	if s == "" {
		return b
	}
	return append(appendLen(b, field, len(s)), s...)
}
