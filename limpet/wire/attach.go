package wire

import (
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// RequestToProto returns a frame that a program sends at now as protobuf; it shares what
// FrameToProto would. A frame of an unknown kind is an empty one.
func RequestToProto(f link.Frame, now time.Time) *pb.AttachRequest {
	switch f := f.(type) {
	case *program.OperationBatch:
		return &pb.AttachRequest{Kind: &pb.AttachRequest_Batch{Batch: operationsToProto(f, now)}}
	case *link.Ack:
		return &pb.AttachRequest{Kind: &pb.AttachRequest_Ack{Ack: &pb.Ack{Sequence: f.Sequence}}}
	case *link.Ping:
		return &pb.AttachRequest{Kind: &pb.AttachRequest_Ping{Ping: &pb.Ping{ReceivedSequence: f.Received}}}
	case *link.Error:
		return &pb.AttachRequest{Kind: &pb.AttachRequest_Error{Error: errorToProto(f)}}
	default:
		return &pb.AttachRequest{}
	}
}

// ResponseToProto returns a frame that a daemon sends at now as protobuf; it shares what
// FrameToProto would. A frame of an unknown kind is an empty one. missed goes with a batch.
func ResponseToProto(f link.Frame, missed uint64, now time.Time) *pb.AttachResponse {
	switch f := f.(type) {
	case *program.EventBatch:
		b := eventsToProto(f, now)
		b.Missed = missed
		return &pb.AttachResponse{Kind: &pb.AttachResponse_Batch{Batch: b}}
	case *link.Ack:
		return &pb.AttachResponse{Kind: &pb.AttachResponse_Ack{Ack: &pb.Ack{Sequence: f.Sequence}}}
	case *link.Ping:
		return &pb.AttachResponse{Kind: &pb.AttachResponse_Ping{Ping: &pb.Ping{ReceivedSequence: f.Received}}}
	case *link.Error:
		return &pb.AttachResponse{Kind: &pb.AttachResponse_Error{Error: errorToProto(f)}}
	default:
		return &pb.AttachResponse{}
	}
}

func errorToProto(e *link.Error) *pb.Error {
	return &pb.Error{Code: pb.ErrorCode(e.Code), Message: e.Message, NetworkId: e.NetworkID}
}

func errorFromProto(e *pb.Error) *link.Error {
	return &link.Error{Code: link.Code(e.GetCode()), Message: clip(e.GetMessage()), NetworkID: e.GetNetworkId(), Remote: true}
}

func operationsToProto(b *program.OperationBatch, now time.Time) *pb.OperationBatch {
	out := &pb.OperationBatch{FirstSequence: b.First, Ack: b.Ack}
	memory := make([]pb.Message, len(b.Messages))
	for i := range b.Messages {
		op := &b.Messages[i]
		if op.Plain() {
			ToProto(&memory[i], &op.Msg, now)
			out.Messages = append(out.Messages, &memory[i])
			continue
		}
		p := &pb.Operation{
			Tag: op.Tag, After: uint32(len(out.Messages)), Action: pb.Action(op.Action), Value: op.Value,
			IsReplier: bool(op.Role), Wait: op.Wait,
		}
		if op.Action == program.Send {
			ToProto(&memory[i], &op.Msg, now)
			p.Message = &memory[i]
		} else {
			p.Name, p.Data = []byte(op.Msg.Name), op.Msg.Data
		}
		out.Operations = append(out.Operations, p)
	}
	return out
}

func eventsToProto(b *program.EventBatch, now time.Time) *pb.EventBatch {
	out := &pb.EventBatch{FirstSequence: b.First, Ack: b.Ack}
	memory := make([]pb.Message, len(b.Messages))
	for i := range b.Messages {
		r := b.Messages[i].Result
		if r == nil {
			ToProto(&memory[i], &b.Messages[i].Msg, now)
			out.Messages = append(out.Messages, &memory[i])
			continue
		}
		out.Results = append(out.Results, &pb.Result{
			Tag: r.Tag, After: uint32(len(out.Messages)), Errno: r.Errno, Op: r.Op, Name: r.Name, Message: r.Message,
			IdNetwork: r.ID.Network, IdSerial: r.ID.Serial, Value: r.Value, Found: r.Found, Data: r.Data, Given: r.Given,
		})
	}
	return out
}

// RequestFromProto returns the frame that a program has sent as in, and that came at now;
// see FrameFromProto. A hello is none: it is the first thing that a program says, and no
// other.
func RequestFromProto(in *pb.AttachRequest, now time.Time) (link.Frame, error) {
	switch kind := in.GetKind().(type) {
	case *pb.AttachRequest_Batch:
		return operationsFromProto(kind.Batch, now)
	case *pb.AttachRequest_Ack:
		return &link.Ack{Sequence: kind.Ack.GetSequence()}, nil
	case *pb.AttachRequest_Ping:
		return &link.Ping{Received: kind.Ping.GetReceivedSequence()}, nil
	case *pb.AttachRequest_Error:
		return errorFromProto(kind.Error), nil
	case *pb.AttachRequest_Hello:
		return nil, link.Errorf(link.Protocol, "a second hello")
	default:
		return &link.Unknown{}, nil
	}
}

// ResponseFromProto returns the frame that a daemon has sent as in, and that came at now;
// see FrameFromProto.
func ResponseFromProto(in *pb.AttachResponse, now time.Time) (link.Frame, error) {
	switch kind := in.GetKind().(type) {
	case *pb.AttachResponse_Batch:
		return eventsFromProto(kind.Batch, now)
	case *pb.AttachResponse_Ack:
		return &link.Ack{Sequence: kind.Ack.GetSequence()}, nil
	case *pb.AttachResponse_Ping:
		return &link.Ping{Received: kind.Ping.GetReceivedSequence()}, nil
	case *pb.AttachResponse_Error:
		return errorFromProto(kind.Error), nil
	case *pb.AttachResponse_Welcome:
		return nil, link.Errorf(link.Protocol, "a second welcome")
	default:
		return &link.Unknown{}, nil
	}
}

// An interleaving puts the messages of a batch, and what stands between them, in order.
type interleaving struct{ messages, others, nextMessage, nextOther int }

func interleave(messages, others int) (interleaving, error) {
	if n := messages + others; n > link.MaxBatchMessages {
		return interleaving{}, tooManyParts(n)
	}
	return interleaving{messages: messages, others: others}, nil
}

func tooManyParts(n int) *link.Error {
	return link.Errorf(link.Protocol, "a batch of %d, at most %d are allowed", n, link.MaxBatchMessages)
}

// next returns what comes next: a message, or another; after returns how many messages
// stand before the i-th other. The error is that they are not in order.
func (v *interleaving) next(after func(i int) uint32) (message bool, i int, err error) {
	if v.nextOther == v.others {
		v.nextMessage++
		return true, v.nextMessage - 1, nil
	}
	switch at := after(v.nextOther); {
	case int64(at) < int64(v.nextMessage) || int64(at) > int64(v.messages):
		return false, 0, link.Errorf(link.Protocol, "in a batch of %d messages something is to stand after %d, following %d", v.messages, at, v.nextMessage)
	case int64(at) == int64(v.nextMessage):
		v.nextOther++
		return false, v.nextOther - 1, nil
	}
	v.nextMessage++
	return true, v.nextMessage - 1, nil
}

func operationsFromProto(b *pb.OperationBatch, now time.Time) (link.Frame, error) {
	v, err := interleave(len(b.GetMessages()), len(b.GetOperations()))
	if err != nil {
		return nil, err
	}
	out := &program.OperationBatch{First: b.GetFirstSequence(), Ack: b.GetAck(), Messages: make([]program.Operation, v.messages+v.others)}
	for i := range out.Messages {
		op := &out.Messages[i]
		message, at, err := v.next(func(i int) uint32 { return b.Operations[i].GetAfter() })
		switch {
		case err != nil:
			return nil, err
		case message:
			if b.Messages[at] == nil {
				return nil, link.Errorf(link.Protocol, "a batch with an empty message")
			}
			op.Action, op.Wait = program.Send, true
			FromProto(&op.Msg, b.Messages[at], now)
		default:
			operationFromProto(op, b.Operations[at], now)
		}
	}
	return out, nil
}

func operationFromProto(op *program.Operation, in *pb.Operation, now time.Time) {
	op.Tag, op.Value, op.Role, op.Wait = in.GetTag(), in.GetValue(), kbusdev.Role(in.GetIsReplier()), in.GetWait()
	if a := in.GetAction(); a > 0 && a <= pb.Action(program.LastAction) {
		op.Action = program.Action(a)
	}
	if op.Action != program.Send {
		op.Msg.Name, op.Msg.Data = string(in.GetName()), in.GetData()
		return
	}
	m := in.GetMessage()
	if m == nil {
		m = new(pb.Message) // the bus refuses it
	}
	FromProto(&op.Msg, m, now)
	op.Settle()
}

func eventsFromProto(b *pb.EventBatch, now time.Time) (link.Frame, error) {
	v, err := interleave(len(b.GetMessages()), len(b.GetResults()))
	if err != nil {
		return nil, err
	}
	out := &program.EventBatch{First: b.GetFirstSequence(), Ack: b.GetAck(), Messages: make([]program.Event, v.messages+v.others)}
	for i := range out.Messages {
		message, at, err := v.next(func(i int) uint32 { return b.Results[i].GetAfter() })
		switch {
		case err != nil:
			return nil, err
		case !message:
			out.Messages[i].Result = resultFromProto(b.Results[at])
		case b.Messages[at] == nil:
			return nil, link.Errorf(link.Protocol, "a batch with an empty message")
		default:
			FromProto(&out.Messages[i].Msg, b.Messages[at], now)
		}
	}
	return out, nil
}

func resultFromProto(r *pb.Result) *program.Result {
	return &program.Result{
		Tag: r.GetTag(), Errno: clip(r.GetErrno()), Op: clip(r.GetOp()), Name: r.GetName(), Message: clip(r.GetMessage()),
		ID: kbusdev.MsgID{Network: r.GetIdNetwork(), Serial: r.GetIdSerial()}, Value: r.GetValue(), Found: r.GetFound(), Data: r.GetData(), Given: r.GetGiven(),
	}
}
