package limpet_test

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// pipe joins two streams in memory. Frames are encoded and decoded on the way.
func pipe() (*pipeEnd, *pipeEnd) {
	ab, ba := make(chan []byte, 4), make(chan []byte, 4)
	closed := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(closed) }) }
	return &pipeEnd{out: ab, in: ba, closed: closed, end: end}, &pipeEnd{out: ba, in: ab, closed: closed, end: end}
}

type pipeEnd struct {
	out    chan<- []byte
	in     <-chan []byte
	closed chan struct{}
	end    func()
	sent   sync.Once
	heard  atomic.Uint64
}

func (p *pipeEnd) Send(f link.Frame) error {
	b, err := proto.Marshal(wire.FrameToProto(f, time.Now()))
	if err != nil {
		return err
	}
	select {
	case <-p.closed:
		return io.ErrClosedPipe
	default:
	}
	select {
	case p.out <- b:
		return nil
	case <-p.closed:
		return io.ErrClosedPipe
	}
}

func (p *pipeEnd) Recv() (link.Frame, error) {
	var b []byte
	var ok bool
	select {
	case b, ok = <-p.in: // what was sent comes before the end, as with gRPC
	default:
		select {
		case b, ok = <-p.in:
		case <-p.closed:
			return nil, io.ErrClosedPipe
		}
	}
	if !ok {
		return nil, io.EOF
	}
	p.heard.Add(1)
	f := new(pb.Frame)
	if err := proto.Unmarshal(b, f); err != nil {
		return nil, err
	}
	return wire.FrameFromProto(f, time.Now())
}

func (p *pipeEnd) Heard() uint64 { return p.heard.Load() }

func (p *pipeEnd) CloseSend() error {
	p.sent.Do(func() { close(p.out) })
	return nil
}

func (p *pipeEnd) Close() { p.end() }
