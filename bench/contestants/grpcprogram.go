package contestants

import (
	"context"
	"sync"

	"github.com/kbus-limpet/limpet/bench/contest"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// The bounds of a batch. gRPC has buffers of 32 KiB, and dear ones.
const (
	batchMessages = 64
	batchBytes    = 32<<10 - 1<<10
)

type grpcBus string

func (b grpcBus) Connect(context.Context) (contest.Program, error) {
	stream, err := dialChain(context.Background(), string(b))
	if err != nil {
		return nil, err
	}
	p := &grpcProgram{stream: stream}
	go p.read()
	return p, nil
}

// A grpcProgram sends announcements in batches, requests and replies at once.
type grpcProgram struct {
	floorHandlers
	stream frameStream

	sending sync.Mutex
	batch   []*pb.Message
	bytes   int
}

func (p *grpcProgram) read() {
	for {
		f, err := p.stream.Recv()
		if err != nil {
			return
		}
		for _, m := range f.GetBatch().GetMessages() {
			kind, caller := byte(announcement), m.GetIdSerial()
			switch {
			case m.GetInReplyToSerial() != 0:
				kind, caller = reply, m.GetInReplyToSerial()
			case caller != 0:
				kind = request
			}
			if data, ok := p.got(kind, caller-1, m.GetData()); ok {
				_ = p.send(&pb.Message{Name: m.GetName(), InReplyToSerial: caller, Data: data})
			}
		}
	}
}

func (p *grpcProgram) send(messages ...*pb.Message) error {
	return p.stream.Send(&pb.Frame{Kind: &pb.Frame_Batch{Batch: &pb.Batch{FirstSequence: 1, Messages: messages}}})
}

func (p *grpcProgram) Send(_ context.Context, name string, data []byte) error {
	p.sending.Lock()
	defer p.sending.Unlock()
	p.batch = append(p.batch, &pb.Message{Name: kbusName(name), Data: data})
	p.bytes += len(name) + len(data)
	if len(p.batch) < batchMessages && p.bytes+len(data) < batchBytes {
		return nil
	}
	return p.flush()
}

// flush sends the batch. gRPC has encoded it when it returns.
func (p *grpcProgram) flush() error {
	if len(p.batch) == 0 {
		return nil
	}
	err := p.send(p.batch...)
	clear(p.batch)
	p.batch, p.bytes = p.batch[:0], 0
	return err
}

func (p *grpcProgram) Flush() error {
	p.sending.Lock()
	defer p.sending.Unlock()
	return p.flush()
}

func (p *grpcProgram) Caller(_ context.Context, name string) (contest.Call, error) {
	caller, replies := p.newCaller()
	return func(ctx context.Context, data []byte) ([]byte, error) {
		if err := p.send(&pb.Message{Name: kbusName(name), IdSerial: caller + 1, Data: data}); err != nil {
			return nil, err
		}
		return await(ctx, replies)
	}, nil
}
