package wire

import (
	"bytes"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// unmarshal decodes a LinkRequest or LinkResponse. What is not a batch in its plain
// shape is left to protobuf.
func (r *Receiver) unmarshal(data mem.BufferSlice) error {
	r.memory.free()
	now := time.Now()
	b, owned, free := contiguous(data)
	defer free()
	if batch, ok := plainBatch(b); ok {
		r.frame, r.err = r.batch(batch, owned, now)
		if bad := (*syntaxError)(nil); errors.As(r.err, &bad) {
			return bad
		}
		return nil
	}
	r.memory.drop()
	request := new(pb.LinkRequest)
	if err := proto.Unmarshal(b, request); err != nil {
		return fmt.Errorf("decoding a frame: %w", err)
	}
	r.frame, r.err = FrameFromProto(request.GetFrame(), now)
	return nil
}

// ownedFrom is how long a frame must be to get memory of its own, which its messages
// may keep: longer than a batch of several, whose messages are small.
const ownedFrom = link.MaxBatchBytes

// contiguous returns the bytes of a received message in one piece, until free is called.
// owned reports that they are nobody else's, and may be kept.
func contiguous(data mem.BufferSlice) (b []byte, owned bool, free func()) {
	if n := data.Len(); len(data) > 1 && n >= ownedFrom {
		parts := make([][]byte, len(data))
		for i, b := range data {
			parts[i] = b.ReadOnlyData()
		}
		return bytes.Join(parts, nil), true, func() {} // it does not clear the memory first
	}
	whole := data.MaterializeToBuffer(&Pool)
	return whole.ReadOnlyData(), false, whole.Free
}

// plainBatch returns the bytes of the batch in a request that is nothing else.
func plainBatch(b []byte) (batch []byte, ok bool) {
	return onlyIn(b, fieldFrame<<3|2, fieldBatch<<3|2)
}

// onlyIn returns what is in fields with these tags, the outermost first, if there is nothing
// else.
func onlyIn(b []byte, tags ...byte) (inner []byte, ok bool) {
	for _, tag := range tags {
		if len(b) == 0 || b[0] != tag {
			return nil, false
		}
		inner, n := protowire.ConsumeBytes(b[1:])
		if n < 0 || n != len(b)-1 {
			return nil, false
		}
		b = inner
	}
	return b, true
}

// A syntaxError says that bytes are no protobuf.
type syntaxError struct{ what string }

func (e *syntaxError) Error() string { return "decoding a batch: " + e.what }

// batch decodes a batch. owned says that its messages may keep parts of b.
func (r *Receiver) batch(b []byte, owned bool, now time.Time) (link.Frame, error) {
	n, err := countMessages(b)
	if err != nil {
		return nil, err
	}
	if n > link.MaxBatchMessages {
		return nil, link.Errorf(link.Protocol, "a batch of %d messages, at most %d are allowed", n, link.MaxBatchMessages)
	}
	d := decoder{names: &r.names, owned: owned, whole: len(b), now: now}
	batch := &link.Batch{Messages: r.memory.get(n)[:0]}
	for len(b) > 0 {
		f, rest := next(b)
		b = rest
		switch {
		case f.number == fieldMessages && f.kind == protowire.BytesType:
			batch.Messages = append(batch.Messages, kbusdev.Message{})
			if err := d.message(&batch.Messages[len(batch.Messages)-1], f.bytes); err != nil {
				return nil, err
			}
		case f.number == fieldFirstSequence && f.kind == protowire.VarintType:
			batch.First = f.varint
		case f.number == fieldAck && f.kind == protowire.VarintType:
			batch.Ack = f.varint
		}
	}
	r.memory.lent(batch)
	return batch, nil
}

// countMessages checks the fields of a batch, and counts its messages.
func countMessages(b []byte) (n int, err error) {
	for len(b) > 0 {
		f, rest := next(b)
		if rest == nil {
			return 0, &syntaxError{"a field is cut off or malformed"}
		}
		if f.number == fieldMessages && f.kind == protowire.BytesType {
			n++
		}
		b = rest
	}
	return n, nil
}

// A field is one of a message in protobuf.
type field struct {
	number int
	kind   protowire.Type
	varint uint64 // if kind is VarintType
	bytes  []byte // if kind is BytesType
}

// next returns the first field, and what follows; rest is nil if there is no field.
func next(b []byte) (f field, rest []byte) {
	if len(b) >= 2 && b[0] < 0x80 && b[0]>>3 != 0 && b[1] < 0x80 { // most are short
		f.number, f.kind = int(b[0]>>3), protowire.Type(b[0]&7)
		switch n := int(b[1]); {
		case f.kind == protowire.VarintType:
			f.varint = uint64(n)
			return f, b[2:]
		case f.kind == protowire.BytesType && n <= len(b)-2:
			f.bytes = b[2 : 2+n]
			return f, b[2+n:]
		}
	}
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 || number > protowire.MaxValidNumber {
		return f, nil
	}
	f.number, f.kind = int(number), kind
	b = b[n:]
	switch kind {
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(number, kind, b)
	}
	if n < 0 {
		return f, nil
	}
	return f, b[n:]
}

type decoder struct {
	names *names
	last  string // the name before: most are the same
	owned bool
	whole int // the length of the batch
	now   time.Time
}

// message decodes a message as protobuf and FromProto do. What is said of it again is
// added to what m has already.
func (d *decoder) message(m *kbusdev.Message, b []byte) error {
	var data, trace []byte
	for len(b) > 0 {
		f, rest := next(b)
		if rest == nil {
			return &syntaxError{"a field of a message is cut off or malformed"}
		}
		b = rest
		switch {
		case f.kind == protowire.VarintType:
			d.number(m, f.number, f.varint)
		case f.kind != protowire.BytesType:
		case f.number == fieldName:
			if string(f.bytes) != d.last {
				if !utf8.Valid(f.bytes) {
					return &syntaxError{"a name is not UTF-8"}
				}
				d.last = d.names.intern(f.bytes)
			}
			m.Name = d.last
		case f.number == fieldData:
			data = f.bytes
		case f.number == fieldTrace:
			trace = f.bytes
		case f.number == fieldBindEvent:
			if err := d.event(m, f.bytes); err != nil {
				return err
			}
		}
	}
	if trace != nil {
		m.Trace = kbusdev.ParseTraceContext(trace)
	}
	switch {
	case m.Event != nil:
		m.Data = nil
	case data != nil:
		m.Data = d.keep(data)
	}
	return nil
}

// number sets the field of a message that is a number.
func (d *decoder) number(m *kbusdev.Message, number int, v uint64) {
	switch small := uint32(v); number {
	case 1:
		m.ID.Network = small
	case 2:
		m.ID.Serial = small
	case 3:
		m.InReplyTo.Network = small
	case 4:
		m.InReplyTo.Serial = small
	case 5:
		m.To = kbusdev.KsockID(small)
	case 6:
		m.From = kbusdev.KsockID(small)
	case 7:
		m.OrigFrom.Network = small
	case 8:
		m.OrigFrom.Local = kbusdev.KsockID(small)
	case 9:
		m.FinalTo.Network = small
	case 10:
		m.FinalTo.Local = kbusdev.KsockID(small)
	case 11:
		m.Flags = kbusdev.Flags(small)
	case fieldExpires:
		m.Expires = expires(v, d.now)
	}
}

// event decodes a bind event; if there are several they are one.
func (d *decoder) event(m *kbusdev.Message, b []byte) error {
	if m.Event == nil {
		m.Event = new(kbusdev.BindEvent)
	}
	e := m.Event
	for len(b) > 0 {
		f, rest := next(b)
		if rest == nil {
			return &syntaxError{"a field of a bind event is cut off or malformed"}
		}
		b = rest
		switch {
		case f.kind == protowire.VarintType && f.number == 1:
			e.Bound = f.varint != 0
		case f.kind == protowire.VarintType && f.number == 2:
			e.Binder = kbusdev.KsockID(uint32(f.varint))
		case f.kind == protowire.BytesType && f.number == 3:
			if !utf8.Valid(f.bytes) {
				return &syntaxError{"a name is not UTF-8"}
			}
			e.Name = string(f.bytes)
		}
	}
	return nil
}

// keep returns data that may be kept: a part of the frame if it is a good part of it,
// so that a message that waits long holds little more memory than its own.
func (d *decoder) keep(data []byte) []byte {
	if len(data) == 0 {
		return nil
	}
	if d.owned && len(data) >= d.whole/4 {
		return data[:len(data):len(data)]
	}
	return bytes.Clone(data)
}

// names gives the names that come again and again one memory.
type names struct {
	known map[string]string
	bytes int
}

// maxNames and maxNameBytes bound what a peer can make us remember.
const (
	maxNames     = 1024
	maxNameBytes = 64 << 10
)

func (n *names) intern(b []byte) string {
	if s, ok := n.known[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) > maxNameBytes/8 {
		return s
	}
	if n.known == nil || len(n.known) >= maxNames || n.bytes+len(s) > maxNameBytes {
		n.known, n.bytes = make(map[string]string), 0
	}
	n.known[s] = s
	n.bytes += len(s)
	return s
}
