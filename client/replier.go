package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Replier gets requests and answers them. Recv and Reply may each be used by
// one goroutine at a time.
type Replier struct {
	stream grpc.BidiStreamingClient[pb.ServeRequest, pb.ServeResponse]
	cancel context.CancelFunc
	// Ksock is what replies on the bus.
	Ksock kbusdev.KsockID
}

// Serve binds the names as replier, and returns when that is done. The Replier is
// to be closed; what it owes then is answered by the bus.
func (b *Bus) Serve(ctx context.Context, maxMessages uint32, names ...string) (*Replier, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := b.bus.Serve(ctx)
	if err == nil {
		err = stream.Send(&pb.ServeRequest{Kind: &pb.ServeRequest_Bind{Bind: &pb.ServeBind{Names: names, MaxMessages: maxMessages}}})
		if errors.Is(err, io.EOF) {
			err = nil // the reason comes with Recv
		}
	}
	var first *pb.ServeResponse
	if err == nil {
		first, err = stream.Recv()
	}
	if err != nil {
		cancel()
		return nil, statusError("bind", fmt.Sprint(names), err)
	}
	return &Replier{stream: stream, cancel: cancel, Ksock: kbusdev.KsockID(first.GetBound().GetKsock())}, nil
}

// Recv waits for the next request. An answer that the bus refused comes as an
// *kbusdev.OpError of op "reply"; going on with Recv is right then, also when the
// error is another.
func (r *Replier) Recv() (*kbusdev.Message, error) {
	resp, err := r.stream.Recv()
	if err != nil {
		return nil, statusError("serve", "", err)
	}
	if no := resp.GetRefused(); no != nil {
		inner := errors.New(no.GetMessage())
		if errno, ok := kbusdev.ErrnoFromName(no.GetErrno()); ok {
			inner = errno
		}
		return nil, &kbusdev.OpError{Op: "reply", Name: fmt.Sprintf("to [%d:%d]", no.GetRequestNetwork(), no.GetRequestSerial()), Err: inner}
	}
	return fromProto(resp.GetRequest()), nil
}

// Reply answers a request with data. name is the reply's; "" is the request's.
func (r *Replier) Reply(request *kbusdev.Message, name string, data []byte) error {
	if request == nil {
		return errNil("reply", "request")
	}
	err := r.stream.Send(&pb.ServeRequest{Kind: &pb.ServeRequest_Reply{Reply: &pb.ServeReply{
		RequestNetwork: request.ID.Network, RequestSerial: request.ID.Serial, Name: name, Data: data,
	}}})
	if err != nil {
		return statusError("reply", request.Name, err)
	}
	return nil
}

// Finish says that no more replies come, waits until those sent have been given
// to the bus, and unbinds. What is still owed is answered by the bus.
func (r *Replier) Finish() error {
	defer r.cancel()
	if err := r.stream.CloseSend(); err != nil {
		return statusError("finish", "", err)
	}
	for {
		if _, err := r.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// Close unbinds at once. Closing again does nothing.
func (r *Replier) Close() { r.cancel() }
