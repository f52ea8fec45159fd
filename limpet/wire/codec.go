package wire

import (
	"time"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that ours stands on
	"google.golang.org/grpc/mem"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// Codec is gRPC's codec for protobuf, which also takes what Send and a Receiver give it:
// batches become bytes, and bytes batches, without a protobuf struct in between. The
// bytes are the same. Servers and clients of LinkService and of BusService.Attach need it, as
// grpc.ForceServerCodecV2 and grpc.ForceCodecV2 give it to them. It is safe for
// concurrent use.
var Codec encoding.CodecV2 = codec{encoding.GetCodecV2("proto")}

type codec struct{ encoding.CodecV2 }

// Marshal is gRPC's.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if out, ours := v.(*outgoingOfProgram); ours {
		return c.marshalProgram(out)
	}
	out, ours := v.(*outgoing)
	if !ours {
		return c.CodecV2.Marshal(v)
	}
	if batch, ok := out.frame.(*link.Batch); ok {
		return marshalBatch(batch, out.now), nil
	}
	return c.CodecV2.Marshal(toRequest(out.frame, out.now))
}

// Unmarshal is gRPC's.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch in := v.(type) {
	case *Receiver:
		return in.unmarshal(data)
	case *RequestReceiver:
		return in.unmarshal(data)
	case *ResponseReceiver:
		return in.unmarshal(data)
	default:
		return c.CodecV2.Unmarshal(data, v)
	}
}

// outgoing is a frame to send.
type outgoing struct {
	frame link.Frame
	now   time.Time
}

// Send sends a frame on a stream of the RPC Link, whose codec is Codec. The frame may
// share the memory of its messages' data with gRPC until it is on its way: they must
// never be changed.
func Send(stream interface{ SendMsg(m any) error }, f link.Frame) error {
	return stream.SendMsg(&outgoing{f, time.Now()})
}

// A Receiver receives the frames of one stream of the RPC Link, whose codec is Codec.
// The zero value is ready. It is not safe for concurrent use.
type Receiver struct {
	names  names
	memory memory[kbusdev.Message]
	frame  link.Frame
	err    error
}

// Recv returns the next frame, which is the caller's until it says of a batch that it is
// Taken. The error is the stream's, or an *link.Error of what FrameFromProto refuses.
func (r *Receiver) Recv(stream interface{ RecvMsg(m any) error }) (link.Frame, error) {
	r.frame, r.err = nil, nil
	if err := stream.RecvMsg(r); err != nil {
		return nil, err
	}
	f := r.frame
	r.frame = nil
	return f, r.err
}
