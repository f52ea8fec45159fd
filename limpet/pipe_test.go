package limpet_test

import (
	"errors"
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
	w := &wires{closed: make(chan struct{}), lost: make(chan struct{})}
	ab, ba := make(chan []byte, 4), make(chan []byte, 4)
	return &pipeEnd{wires: w, out: ab, in: ba}, &pipeEnd{wires: w, out: ba, in: ab}
}

// wires are what both ends of a pipe share.
type wires struct {
	closed, lost chan struct{}
	once, broken sync.Once

	// Hooks, set before the first frame; each may cut the pipe.
	onSend, onRecv func()
	onFrame        func(link.Frame) // that is sent
}

var errCut = errors.New("the pipe was cut")

// cut breaks the pipe: what is on its way is lost.
func (w *wires) cut() {
	w.broken.Do(func() { close(w.lost) })
	w.Close()
}

func (w *wires) isCut() bool {
	select {
	case <-w.lost:
		return true
	default:
		return false
	}
}

// Close ends the pipe; what was sent before still arrives.
func (w *wires) Close() { w.once.Do(func() { close(w.closed) }) }

type pipeEnd struct {
	*wires
	out   chan<- []byte
	in    <-chan []byte
	sent  sync.Once
	heard atomic.Uint64
}

func (p *pipeEnd) Send(f link.Frame) error {
	b, err := proto.Marshal(wire.FrameToProto(f, time.Now()))
	if err != nil {
		return err
	}
	if p.onSend != nil {
		p.onSend()
	}
	if p.onFrame != nil {
		p.onFrame(f)
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
	if p.isCut() {
		return nil, errCut
	}
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
	if p.isCut() {
		return nil, errCut
	}
	p.heard.Add(1)
	if p.onRecv != nil {
		defer p.onRecv()
	}
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
