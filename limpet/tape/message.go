package tape

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// The parts that a message may have, a bit for each; the others are zero.
const (
	hasID = 1 << iota
	hasInReplyTo
	hasTo
	hasFrom
	hasOrigFrom
	hasFinalTo
	hasFlags
	hasData
	hasEvent
	hasExpires
	hasTrace
	hasExtra
)

func parts(m *kbusdev.Message) (has uint16) {
	if !m.ID.IsZero() {
		has |= hasID
	}
	if !m.InReplyTo.IsZero() {
		has |= hasInReplyTo
	}
	if m.To != 0 {
		has |= hasTo
	}
	if m.From != 0 {
		has |= hasFrom
	}
	if !m.OrigFrom.IsZero() {
		has |= hasOrigFrom
	}
	if !m.FinalTo.IsZero() {
		has |= hasFinalTo
	}
	if m.Flags != 0 {
		has |= hasFlags
	}
	if len(m.Data) > 0 {
		has |= hasData
	}
	if m.Event != nil {
		has |= hasEvent
	}
	if !m.Expires.IsZero() {
		has |= hasExpires
	}
	if m.Trace != nil {
		has |= hasTrace
	}
	if m.Extra != 0 {
		has |= hasExtra
	}
	return has
}

// Message takes a message. Its data, unless the Tape has whole data, comes back as zeros
// of the same length, which must not be changed. Written again, they have the same sum.
func (t *Tape) Message(m *kbusdev.Message) {
	if t.reading {
		t.readMessage(m)
	} else {
		t.writeMessage(m)
	}
}

// writeMessage is written apart from readMessage, for it is what recording costs.
func (t *Tape) writeMessage(m *kbusdev.Message) {
	has := parts(m)
	t.buf = appendNumber(t.buf, uint32(has))
	t.Name(&m.Name)
	b := t.buf
	if has&hasID != 0 {
		b = appendNumber(appendNumber(b, m.ID.Network), m.ID.Serial)
	}
	if has&hasInReplyTo != 0 {
		b = appendNumber(appendNumber(b, m.InReplyTo.Network), m.InReplyTo.Serial)
	}
	if has&hasTo != 0 {
		b = appendNumber(b, uint32(m.To))
	}
	if has&hasFrom != 0 {
		b = appendNumber(b, uint32(m.From))
	}
	if has&hasOrigFrom != 0 {
		b = appendNumber(appendNumber(b, m.OrigFrom.Network), uint32(m.OrigFrom.Local))
	}
	if has&hasFinalTo != 0 {
		b = appendNumber(appendNumber(b, m.FinalTo.Network), uint32(m.FinalTo.Local))
	}
	if has&hasFlags != 0 {
		b = appendNumber(b, uint32(m.Flags))
	}
	if has&hasData != 0 {
		b = appendNumber(b, uint32(len(m.Data)))
		if t.whole {
			b = append(b, m.Data...)
		} else {
			b = binary.LittleEndian.AppendUint16(b, Sum(m.Data))
		}
	}
	t.buf = b
	if has >= hasEvent { // the rare ones
		t.rest(m, has)
	}
}

func appendNumber(b []byte, v uint32) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return binary.AppendUvarint(b, uint64(v))
}

func (t *Tape) readMessage(m *kbusdev.Message) {
	*m = kbusdev.Message{}
	var has uint16
	t.Uint16(&has)
	t.Name(&m.Name)
	if has&hasID != 0 {
		t.MsgID(&m.ID)
	}
	if has&hasInReplyTo != 0 {
		t.MsgID(&m.InReplyTo)
	}
	if has&hasTo != 0 {
		t.Ksock(&m.To)
	}
	if has&hasFrom != 0 {
		t.Ksock(&m.From)
	}
	if has&hasOrigFrom != 0 {
		t.Address(&m.OrigFrom)
	}
	if has&hasFinalTo != 0 {
		t.Address(&m.FinalTo)
	}
	if has&hasFlags != 0 {
		t.Uint32((*uint32)(&m.Flags))
	}
	if has&hasData != 0 {
		t.readData(&m.Data)
	}
	t.rest(m, has)
}

// rest takes what few messages have.
func (t *Tape) rest(m *kbusdev.Message, has uint16) {
	if has&hasEvent != 0 {
		if t.reading {
			m.Event = new(kbusdev.BindEvent)
		}
		t.BindEvent(m.Event)
	}
	if has&hasExpires != 0 {
		t.Time(&m.Expires)
	}
	if has&hasTrace != 0 {
		if t.reading {
			m.Trace = new(kbusdev.TraceContext)
		}
		t.TraceContext(m.Trace)
	}
	if has&hasExtra != 0 {
		t.Uint32(&m.Extra)
	}
}

// MsgID takes the id of a message.
func (t *Tape) MsgID(id *kbusdev.MsgID) {
	t.Uint32(&id.Network)
	t.Uint32(&id.Serial)
}

// Ksock takes the id of a Ksock.
func (t *Tape) Ksock(id *kbusdev.KsockID) { t.Uint32((*uint32)(id)) }

// Address takes an address.
func (t *Tape) Address(a *kbusdev.Address) {
	t.Uint32(&a.Network)
	t.Ksock(&a.Local)
}

// BindEvent takes a bind event.
func (t *Tape) BindEvent(e *kbusdev.BindEvent) {
	t.Bool(&e.Bound)
	t.Ksock(&e.Binder)
	t.Name(&e.Name)
}

// TraceContext takes a trace context.
func (t *Tape) TraceContext(c *kbusdev.TraceContext) {
	t.Raw(c.TraceID[:])
	t.Raw(c.SpanID[:])
	t.Uint8(&c.Flags, 255)
}

// readData reads the data of a message.
func (t *Tape) readData(v *[]byte) {
	var n int
	t.Count(&n)
	switch {
	case n > MaxData:
		t.Fail("a message with %d bytes of data, at most %d are possible", n, MaxData)
	case t.whole && n > t.Left(), !t.whole && t.Left() < 2:
		t.fail(ErrShort)
	case t.whole:
		*v = append([]byte(nil), t.buf[t.at:t.at+n]...)
		t.at += n
	default:
		*v = marked(n, binary.LittleEndian.Uint16(t.buf[t.at:]))
		t.at += 2
	}
}

// zeros are what stands for data that was not recorded. Nobody touches most of it.
var zeros [MaxData + 1<<16]byte

// marked returns zeros in the place of data with a sum, which the capacity tells: so it
// costs no memory, however much data there was, and is known after whatever the machines
// have done with it. They do not look into data.
func marked(n int, sum uint16) []byte { return zeros[: n : n+int(sum)] }

// summed is how much of both ends of long data is in its sum: to look at all of it would
// cost as much as to send it.
const summed = 2048

// Sum returns the sum of a message's data, or that which marked was given.
func Sum(data []byte) uint16 {
	if len(data) > 0 && &data[0] == &zeros[0] {
		return uint16(cap(data) - len(data))
	}
	c := Checksum(data[:min(len(data), summed)])
	if rest := data[min(len(data), summed):]; len(rest) > 0 {
		c = crc32.Update(c, castagnoli, rest[max(0, len(rest)-summed):])
	}
	return uint16(c) ^ uint16(c>>16)
}
