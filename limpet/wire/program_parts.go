package wire

import (
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// The fields of Operation and Result in the contract; all that they have is in attach.proto.
const (
	fieldTag   = 1 // of both
	fieldAfter = 2

	fieldAction    = 3 // of Operation
	fieldNumber    = 4
	fieldBound     = 5
	fieldIsReplier = 6
	fieldWait      = 7
	fieldSent      = 8
	fieldWritten   = 9

	fieldErrno     = 3 // of Result
	fieldOp        = 4
	fieldRefused   = 5
	fieldText      = 6
	fieldIDNetwork = 7
	fieldIDSerial  = 8
	fieldValue     = 9
	fieldFound     = 10
	fieldRead      = 11
	fieldGiven     = 12
)

// operations are what a program sends.
var operations = shape[program.Operation]{
	message: func(op *program.Operation) *kbusdev.Message {
		if op.Plain() {
			return &op.Msg
		}
		return nil
	},
	size: func(op *program.Operation, after int, now time.Time) (n, shared int) {
		n = varintField(op.Tag) + varintField(uint64(after)) + varintField(uint64(op.Action)) + varintField(op.Value) +
			boolField(bool(op.Role)) + boolField(op.Wait)
		if op.Action == program.Send {
			return n + 1 + sizeOf(messageSize(&op.Msg, now)), sharedBytes(&op.Msg)
		}
		return n + bytesField(len(op.Msg.Name)) + bytesField(len(op.Msg.Data)), 0
	},
	append: func(d draft, op *program.Operation, after int, now time.Time) draft {
		b := appendVarintField(d.bytes, fieldTag, op.Tag)
		b = appendVarintField(b, fieldAfter, uint64(after))
		b = appendVarintField(b, fieldAction, uint64(op.Action))
		b = appendVarintField(b, fieldNumber, op.Value)
		if op.Action != program.Send {
			b = appendString(b, fieldBound, op.Msg.Name)
		}
		b = appendBool(b, fieldIsReplier, bool(op.Role))
		d.bytes = appendBool(b, fieldWait, op.Wait)
		if op.Action == program.Send {
			return d.message(fieldSent, &op.Msg, messageSize(&op.Msg, now), now)
		}
		d.bytes = appendBytes(d.bytes, fieldWritten, op.Msg.Data)
		return d
	},
}

// operation decodes an operation as protobuf and operationFromProto do.
func (d *decoder) operation(op *program.Operation, b []byte) error {
	var sent kbusdev.Message
	var bound, written []byte
	for len(b) > 0 {
		f, rest := next(b)
		if rest == nil {
			return &syntaxError{"a field of an operation is cut off or malformed"}
		}
		b = rest
		switch {
		case f.kind == protowire.VarintType:
			operationNumber(op, f.number, f.varint)
		case f.kind != protowire.BytesType:
		case f.number == fieldBound:
			bound = f.bytes
		case f.number == fieldWritten:
			written = f.bytes
		case f.number == fieldSent:
			if err := d.message(&sent, f.bytes); err != nil {
				return err
			}
		}
	}
	if op.Action == program.Send {
		op.Msg = sent
		op.Settle()
		return nil
	}
	op.Msg.Name, op.Msg.Data = string(bound), d.keep(written)
	return nil
}

func operationNumber(op *program.Operation, number int, v uint64) {
	switch number {
	case fieldTag:
		op.Tag = v
	case fieldAction:
		op.Action = 0
		if a := int32(v); a > 0 && a <= int32(program.LastAction) {
			op.Action = program.Action(a)
		}
	case fieldNumber:
		op.Value = v
	case fieldIsReplier:
		op.Role = v != 0
	case fieldWait:
		op.Wait = v != 0
	}
}

// events are what a daemon sends.
var events = shape[program.Event]{
	message: func(e *program.Event) *kbusdev.Message {
		if e.Result != nil {
			return nil
		}
		return &e.Msg
	},
	size: func(e *program.Event, after int, _ time.Time) (n, shared int) {
		r := e.Result
		return varintField(r.Tag) + varintField(uint64(after)) +
			bytesField(len(r.Errno)) + bytesField(len(r.Op)) + bytesField(len(r.Name)) + bytesField(len(r.Message)) +
			varintField(uint64(r.ID.Network)) + varintField(uint64(r.ID.Serial)) + varintField(r.Value) + boolField(r.Found) +
			bytesField(len(r.Data)) + varintField(r.Given), 0
	},
	append: func(d draft, e *program.Event, after int, _ time.Time) draft {
		r := e.Result
		b := appendVarintField(d.bytes, fieldTag, r.Tag)
		b = appendVarintField(b, fieldAfter, uint64(after))
		b = appendString(b, fieldErrno, r.Errno)
		b = appendString(b, fieldOp, r.Op)
		b = appendString(b, fieldRefused, r.Name)
		b = appendString(b, fieldText, r.Message)
		b = appendVarintField(b, fieldIDNetwork, uint64(r.ID.Network))
		b = appendVarintField(b, fieldIDSerial, uint64(r.ID.Serial))
		b = appendVarintField(b, fieldValue, r.Value)
		b = appendBool(b, fieldFound, r.Found)
		b = appendBytes(b, fieldRead, r.Data)
		d.bytes = appendVarintField(b, fieldGiven, r.Given)
		return d
	},
}

// result decodes a result as protobuf and resultFromProto do.
func (d *decoder) result(e *program.Event, b []byte) error {
	r := new(program.Result)
	var read []byte
	for len(b) > 0 {
		f, rest := next(b)
		if rest == nil {
			return &syntaxError{"a field of a result is cut off or malformed"}
		}
		b = rest
		switch {
		case f.kind == protowire.VarintType:
			resultNumber(r, f.number, f.varint)
		case f.kind != protowire.BytesType:
		case f.number == fieldRead:
			read = f.bytes
		case f.number >= fieldErrno && f.number <= fieldText:
			if !utf8.Valid(f.bytes) {
				return &syntaxError{"a text of a result is not UTF-8"}
			}
			resultText(r, f.number, string(f.bytes))
		}
	}
	r.Data = d.keep(read)
	e.Result = r
	return nil
}

func resultNumber(r *program.Result, number int, v uint64) {
	switch number {
	case fieldTag:
		r.Tag = v
	case fieldIDNetwork:
		r.ID.Network = uint32(v)
	case fieldIDSerial:
		r.ID.Serial = uint32(v)
	case fieldValue:
		r.Value = v
	case fieldFound:
		r.Found = v != 0
	case fieldGiven:
		r.Given = v
	}
}

func resultText(r *program.Result, number int, s string) {
	switch number {
	case fieldErrno:
		r.Errno = clip(s)
	case fieldOp:
		r.Op = clip(s)
	case fieldRefused:
		r.Name = s
	case fieldText:
		r.Message = clip(s)
	}
}

// afterOf returns how many messages of its batch stand before an operation or a result.
func afterOf(b []byte) (after uint32) {
	for len(b) > 0 {
		f, rest := next(b)
		if rest == nil {
			return after // who decodes it says so
		}
		if f.kind == protowire.VarintType && f.number == fieldAfter {
			after = uint32(f.varint)
		}
		b = rest
	}
	return after
}
