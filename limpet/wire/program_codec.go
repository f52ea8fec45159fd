package wire

import (
	"fmt"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
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

// marshalProgram encodes batches that are nothing but messages by itself.
func (c codec) marshalProgram(out *outgoingOfProgram) (mem.BufferSlice, error) {
	switch b := out.frame.(type) {
	case *program.OperationBatch:
		if out.request && all(b.Messages, (*program.Operation).Plain) {
			return marshalMessages(b, 0, func(op *program.Operation) *kbusdev.Message { return &op.Msg }, out.now, fieldBatch), nil
		}
	case *program.EventBatch:
		if !out.request && all(b.Messages, func(e *program.Event) bool { return e.Result == nil }) {
			return marshalMessages(b, out.missed, func(e *program.Event) *kbusdev.Message { return &e.Msg }, out.now, fieldBatch), nil
		}
	}
	if out.request {
		return c.CodecV2.Marshal(RequestToProto(out.frame, out.now))
	}
	return c.CodecV2.Marshal(ResponseToProto(out.frame, out.missed, out.now))
}

func all[T any](of []T, is func(*T) bool) bool {
	for i := range of {
		if !is(&of[i]) {
			return false
		}
	}
	return true
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
	return unmarshalProgram(&r.programReceiver, data, func(op *program.Operation) *kbusdev.Message {
		op.Action, op.Wait = program.Send, true
		return &op.Msg
	}, func(bytes []byte, now time.Time) error {
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
	return unmarshalProgram(&r.programReceiver, data, func(e *program.Event) *kbusdev.Message { return &e.Msg }, func(bytes []byte, now time.Time) error {
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
	names  names
	memory memory[T]
	missed uint64
	frame  link.Frame
	err    error
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

// unmarshalProgram decodes a batch that is nothing but messages; what is anything else is
// left to others. message returns where the message of a part of the batch belongs.
func unmarshalProgram[T any](r *programReceiver[T], data mem.BufferSlice, message func(*T) *kbusdev.Message, others func([]byte, time.Time) error) error {
	r.memory.free()
	now := time.Now()
	bytes, owned, free := contiguous(data)
	defer free()
	b, ok := onlyIn(bytes, fieldBatch<<3|2)
	n, only := 0, false
	if ok {
		n, only, ok = parts(b)
	}
	switch {
	case ok && n > link.MaxBatchMessages: // before they take memory
		r.err = tooManyParts(n)
		return nil
	case !ok || !only:
		r.memory.drop()
		return others(bytes, now)
	}
	d := decoder{names: &r.names, owned: owned, whole: len(b), now: now}
	batch := &link.BatchOf[T]{Messages: r.memory.get(n)}
	missed := uint64(0)
	for i := 0; len(b) > 0; {
		var f field
		switch f, b = next(b); f.number {
		case fieldMessages:
			if err := d.message(message(&batch.Messages[i]), f.bytes); err != nil {
				return err
			}
			i++
		case fieldFirstSequence:
			batch.First = f.varint
		case fieldAck:
			batch.Ack = f.varint
		case fieldMissed:
			missed = f.varint
		}
	}
	r.frame, r.missed = batch, missed
	r.memory.lent(batch)
	return nil
}

// parts counts the messages of a batch and what stands between them. only reports whether
// there is nothing else in it but numbers, ok that its fields are well formed.
func parts(b []byte) (n int, only, ok bool) {
	only = true
	for len(b) > 0 {
		f, rest := next(b)
		if rest == nil {
			return 0, false, false
		}
		b = rest
		message := f.kind == protowire.BytesType && f.number == fieldMessages
		between := f.kind == protowire.BytesType && f.number == fieldBetween
		number := f.kind == protowire.VarintType && (f.number == fieldFirstSequence || f.number == fieldAck || f.number == fieldMissed)
		if message || between {
			n++
		}
		only = only && (message || number)
	}
	return n, only, true
}
