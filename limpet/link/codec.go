package link

import (
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// ToProto fills out with msg, sharing its name and data. A bind event that this
// machine can read goes as a typed field, instead of data.
func ToProto(out *pb.Message, msg *kbusdev.Message) {
	out.IdNetwork, out.IdSerial = msg.ID.Network, msg.ID.Serial
	out.InReplyToNetwork, out.InReplyToSerial = msg.InReplyTo.Network, msg.InReplyTo.Serial
	out.To, out.From = uint32(msg.To), uint32(msg.From)
	out.OrigFromNetwork, out.OrigFromLocal = msg.OrigFrom.Network, uint32(msg.OrigFrom.Local)
	out.FinalToNetwork, out.FinalToLocal = msg.FinalTo.Network, uint32(msg.FinalTo.Local)
	out.Flags, out.Name = uint32(msg.Flags), msg.Name
	if e := msg.Event; e != nil {
		out.BindEvent = &pb.BindEvent{IsBind: e.Bound, Binder: uint32(e.Binder), Name: e.Name}
		return
	}
	out.Data = msg.Data
}

// FromProto gives the message, sharing its name and data. It judges nothing.
func FromProto(in *pb.Message) kbusdev.Message {
	msg := kbusdev.Message{
		ID:        kbusdev.MsgID{Network: in.IdNetwork, Serial: in.IdSerial},
		InReplyTo: kbusdev.MsgID{Network: in.InReplyToNetwork, Serial: in.InReplyToSerial},
		To:        kbusdev.KsockID(in.To),
		From:      kbusdev.KsockID(in.From),
		OrigFrom:  kbusdev.Address{Network: in.OrigFromNetwork, Local: kbusdev.KsockID(in.OrigFromLocal)},
		FinalTo:   kbusdev.Address{Network: in.FinalToNetwork, Local: kbusdev.KsockID(in.FinalToLocal)},
		Flags:     kbusdev.Flags(in.Flags),
		Name:      in.Name,
		Data:      in.Data,
	}
	if e := in.BindEvent; e != nil {
		msg.Event, msg.Data = &kbusdev.BindEvent{Bound: e.IsBind, Binder: kbusdev.KsockID(e.Binder), Name: e.Name}, nil
	}
	return msg
}

// A slab holds the memory of one batch frame, made in a few allocations. Frames
// are not used again: gRPC may still hold them after Send.
type slab struct {
	frame    pb.Frame
	kind     pb.Frame_Batch
	batch    pb.Batch
	messages []pb.Message
}

func newSlab(n int) *slab {
	s := &slab{messages: make([]pb.Message, n)}
	s.batch.Messages = make([]*pb.Message, n)
	for i := range s.messages {
		s.batch.Messages[i] = &s.messages[i]
	}
	s.kind.Batch = &s.batch
	s.frame.Kind = &s.kind
	return s
}

// weight is what a message counts for in windows and batches, in bytes.
func weight(msg *kbusdev.Message) int { return msg.Size() }
