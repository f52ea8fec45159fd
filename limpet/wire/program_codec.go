package wire

import (
	"fmt"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// outgoingOfProgram is a frame to send on a stream of the RPC Attach.
type outgoingOfProgram struct {
	frame   link.Frame
	request bool // else a response
	missed  uint64
	now     time.Time
}

// SendRequest sends a program's frame on a stream of the RPC Attach, whose codec is Codec;
// what Send says of memory holds.
func SendRequest(stream interface{ SendMsg(m any) error }, f link.Frame) error {
	return stream.SendMsg(&outgoingOfProgram{frame: f, request: true, now: time.Now()})
}

// SendResponse sends a daemon's frame likewise. missed goes with a batch.
func SendResponse(stream interface{ SendMsg(m any) error }, f link.Frame, missed uint64) error {
	return stream.SendMsg(&outgoingOfProgram{frame: f, missed: missed, now: time.Now()})
}

// marshalProgram encodes batches by itself.
func (c codec) marshalProgram(out *outgoingOfProgram) (mem.BufferSlice, error) {
	switch b := out.frame.(type) {
	case *program.OperationBatch:
		if out.request {
			return marshalParts(b, 0, &operations, out.now, fieldBatch), nil
		}
	case *program.EventBatch:
		if !out.request {
			return marshalParts(b, out.missed, &events, out.now, fieldBatch), nil
		}
	}
	if out.request {
		return c.CodecV2.Marshal(RequestToProto(out.frame, out.now))
	}
	return c.CodecV2.Marshal(ResponseToProto(out.frame, out.missed, out.now))
}

// A RequestReceiver receives what a program sends on one stream of the RPC Attach after its
// hello; the stream's codec is Codec. The zero value is ready. It is not safe for concurrent
// use.
type RequestReceiver struct {
	programReceiver[program.Operation]
}

// Recv is as that of a Receiver.
func (r *RequestReceiver) Recv(stream interface{ RecvMsg(m any) error }) (link.Frame, error) {
	return r.recv(stream, r)
}

func (r *RequestReceiver) unmarshal(data mem.BufferSlice) error {
	return unmarshalProgram(&r.programReceiver, data, func(d *decoder, op *program.Operation, b []byte) error {
		op.Action, op.Wait = program.Send, true
		return d.message(&op.Msg, b)
	}, (*decoder).operation, func(bytes []byte, now time.Time) error {
		in := new(pb.AttachRequest)
		if err := proto.Unmarshal(bytes, in); err != nil {
			return fmt.Errorf("decoding a frame: %w", err)
		}
		r.frame, r.err = RequestFromProto(in, now)
		return nil
	})
}

// A ResponseReceiver receives what a daemon sends after its welcome, likewise.
type ResponseReceiver struct {
	programReceiver[program.Event]
	// Missed is what the last batch said of messages that the bus has dropped.
	Missed uint64
}

// Recv is as that of a Receiver.
func (r *ResponseReceiver) Recv(stream interface{ RecvMsg(m any) error }) (link.Frame, error) {
	f, err := r.recv(stream, r)
	r.Missed = r.missed
	return f, err
}

func (r *ResponseReceiver) unmarshal(data mem.BufferSlice) error {
	return unmarshalProgram(&r.programReceiver, data, func(d *decoder, e *program.Event, b []byte) error {
		return d.message(&e.Msg, b)
	}, (*decoder).result, func(bytes []byte, now time.Time) error {
		in := new(pb.AttachResponse)
		if err := proto.Unmarshal(bytes, in); err != nil {
			return fmt.Errorf("decoding a frame: %w", err)
		}
		if b := in.GetBatch(); b != nil {
			r.missed = b.GetMissed()
		}
		r.frame, r.err = ResponseFromProto(in, now)
		return nil
	})
}

type programReceiver[T any] struct {
	names   names
	decoder decoder
	memory  memory[T]
	missed  uint64
	frame   link.Frame
	err     error
}

func (r *programReceiver[T]) recv(stream interface{ RecvMsg(m any) error }, into any) (link.Frame, error) {
	r.frame, r.err = nil, nil
	if err := stream.RecvMsg(into); err != nil {
		return nil, err
	}
	f := r.frame
	r.frame = nil
	return f, r.err
}

// unmarshalProgram decodes a batch; any other frame is left to others. message and between
// decode a part of it that is a message, or stands between messages.
func unmarshalProgram[T any](r *programReceiver[T], data mem.BufferSlice, message, between func(d *decoder, part *T, b []byte) error, others func([]byte, time.Time) error) error {
	r.memory.free()
	now := time.Now()
	bytes, owned, free := contiguous(data)
	defer free()
	b, ok := onlyIn(bytes, fieldBatch<<3|2)
	if !ok {
		r.memory.drop()
		return others(bytes, now)
	}
	head, ok := headOf(b)
	if !ok {
		return &syntaxError{"a field is cut off or malformed"}
	}
	order, err := interleave(head.messages, head.between)
	if err != nil { // before it takes memory
		r.err = err
		return nil
	}
	d := &r.decoder
	*d = decoder{names: &r.names, last: d.last, owned: owned, whole: len(b), now: now}
	batch := &link.BatchOf[T]{First: head.first, Ack: head.ack, Messages: r.memory.get(head.messages + head.between)}
	messages, rest := b, b
	part, rest := nextOf(rest, fieldBetween)
	for i := range batch.Messages {
		isMessage, _, err := order.next(func(int) uint32 { return afterOf(part) })
		if err != nil {
			r.err = err
			return nil
		}
		if isMessage {
			var m []byte
			m, messages = nextOf(messages, fieldMessages)
			err = message(d, &batch.Messages[i], m)
		} else {
			err = between(d, &batch.Messages[i], part)
			part, rest = nextOf(rest, fieldBetween)
		}
		if err != nil {
			return err
		}
	}
	r.frame, r.missed = batch, head.missed
	r.memory.lent(batch)
	return nil
}

// A head is what a batch has beside its parts, and how many parts that are.
type head struct {
	first, ack, missed uint64
	messages, between  int
}

// headOf reports whether the fields of a batch are well formed.
func headOf(b []byte) (h head, ok bool) {
	for len(b) > 0 {
		f, rest := next(b)
		if rest == nil {
			return h, false
		}
		b = rest
		switch {
		case f.kind == protowire.BytesType && f.number == fieldMessages:
			h.messages++
		case f.kind == protowire.BytesType && f.number == fieldBetween:
			h.between++
		case f.kind != protowire.VarintType:
		case f.number == fieldFirstSequence:
			h.first = f.varint
		case f.number == fieldAck:
			h.ack = f.varint
		case f.number == fieldMissed:
			h.missed = f.varint
		}
	}
	return h, true
}

// nextOf returns what is in the next field of this number, nil if there is none, and what
// follows. The fields are well formed.
func nextOf(b []byte, number int) (inner, rest []byte) {
	for len(b) > 0 {
		var f field
		if f, b = next(b); f.number == number && f.kind == protowire.BytesType {
			return f.bytes, b
		}
	}
	return nil, nil
}
