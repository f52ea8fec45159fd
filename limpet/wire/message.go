package wire

import (
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// ToProto sets every field of out to what msg says, sharing its name and data. now is
// when it is sent: the time that is left until it expires is counted from then, in whole
// milliseconds, at least 1.
func ToProto(out *pb.Message, msg *kbusdev.Message, now time.Time) {
	out.IdNetwork, out.IdSerial = msg.ID.Network, msg.ID.Serial
	out.InReplyToNetwork, out.InReplyToSerial = msg.InReplyTo.Network, msg.InReplyTo.Serial
	out.To, out.From = uint32(msg.To), uint32(msg.From)
	out.OrigFromNetwork, out.OrigFromLocal = msg.OrigFrom.Network, uint32(msg.OrigFrom.Local)
	out.FinalToNetwork, out.FinalToLocal = msg.FinalTo.Network, uint32(msg.FinalTo.Local)
	out.Flags, out.Name = uint32(msg.Flags), msg.Name
	out.Data, out.BindEvent, out.ExpiresInMs = msg.Data, nil, expiresInMs(msg, now)
	out.TraceContext = nil
	if msg.Trace != nil {
		out.TraceContext, _ = msg.Trace.AppendBinary(nil)
	}
	if e := msg.Event; e != nil {
		out.Data, out.BindEvent = nil, &pb.BindEvent{IsBind: e.Bound, Binder: uint32(e.Binder), Name: e.Name}
	}
}

// maxExpires bounds how far ahead a message may expire, so that times do not overflow.
const maxExpires = 365 * 24 * time.Hour

// FromProto sets out to what in says, which came at now, sharing its name and data. It
// judges nothing. A message that expires in more than a year does not expire.
func FromProto(out *kbusdev.Message, in *pb.Message, now time.Time) {
	*out = kbusdev.Message{
		ID:        kbusdev.MsgID{Network: in.IdNetwork, Serial: in.IdSerial},
		InReplyTo: kbusdev.MsgID{Network: in.InReplyToNetwork, Serial: in.InReplyToSerial},
		To:        kbusdev.KsockID(in.To),
		From:      kbusdev.KsockID(in.From),
		OrigFrom:  kbusdev.Address{Network: in.OrigFromNetwork, Local: kbusdev.KsockID(in.OrigFromLocal)},
		FinalTo:   kbusdev.Address{Network: in.FinalToNetwork, Local: kbusdev.KsockID(in.FinalToLocal)},
		Flags:     kbusdev.Flags(in.Flags),
		Name:      in.Name,
		Data:      in.Data,
		Expires:   expires(in.ExpiresInMs, now),
		Trace:     kbusdev.ParseTraceContext(in.TraceContext),
	}
	if e := in.BindEvent; e != nil {
		out.Event, out.Data = &kbusdev.BindEvent{Bound: e.IsBind, Binder: kbusdev.KsockID(e.Binder), Name: e.Name}, nil
	}
}

// expiresInMs returns what is left until a message expires, 0 if it does not.
func expiresInMs(m *kbusdev.Message, now time.Time) uint64 {
	if m.Expires.IsZero() {
		return 0
	}
	return uint64(max(m.Expires.Sub(now).Milliseconds(), 1))
}

// expires returns when a message expires that has so many milliseconds left now.
func expires(ms uint64, now time.Time) time.Time {
	if ms == 0 || ms >= uint64(maxExpires/time.Millisecond) {
		return time.Time{}
	}
	return now.Add(time.Duration(ms) * time.Millisecond)
}
