package test

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// The two ends of a Link call, as link.Streams.
type clientEnd struct {
	grpc.BidiStreamingClient[pb.LinkRequest, pb.LinkResponse]
}

func (s clientEnd) Send(f link.Frame) error {
	return s.BidiStreamingClient.Send(&pb.LinkRequest{Frame: wire.FrameToProto(f, time.Now())})
}

func (s clientEnd) Recv() (link.Frame, error) {
	r, err := s.BidiStreamingClient.Recv()
	if err != nil {
		return nil, err
	}
	return wire.FrameFromProto(r.GetFrame(), time.Now())
}

func (clientEnd) Heard() uint64 { return uint64(time.Now().UnixNano()) }
func (clientEnd) Close()        {}

type serverEnd struct {
	grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]
}

func (s serverEnd) Send(f link.Frame) error {
	return s.BidiStreamingServer.Send(&pb.LinkResponse{Frame: wire.FrameToProto(f, time.Now())})
}

func (s serverEnd) Recv() (link.Frame, error) {
	r, err := s.BidiStreamingServer.Recv()
	if err != nil {
		return nil, err
	}
	return wire.FrameFromProto(r.GetFrame(), time.Now())
}

func (serverEnd) Heard() uint64    { return uint64(time.Now().UnixNano()) }
func (serverEnd) CloseSend() error { return nil }
func (serverEnd) Close()           {}

// An end is a session without an epoch, under a lock, as a link.Driver.
type end struct {
	mu      sync.Mutex
	session *link.Session
	waker   *link.Waker
	room    chan struct{}
	take    func(n int) // unless nil, is told of messages, whose fate is decided at once
}

func newEnd() *end {
	e := &end{
		session: link.NewSession(link.SessionConfig{ID: link.SessionID{1}, WindowMessages: 16384, WindowBytes: 16 << 20}),
		waker:   link.NewWaker(), room: make(chan struct{}, 1),
	}
	_ = e.session.Attach(time.Now(), 1) // 1 is always right in a new session
	return e
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (e *end) NextFrame(now time.Time) (link.Frame, time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.session.Next(now)
}

func (e *end) Flushed(time.Time) {}

func (e *end) TakeFrame(now time.Time, f link.Frame) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.session.Receive(now, f); err != nil {
		return err
	}
	poke(e.room)
	if e.take == nil {
		return nil
	}
	first, msgs := e.session.Take(link.MaxBatchMessages)
	for i := range msgs {
		e.session.Decided(now, first+uint64(i), msgs[i].Size())
	}
	if len(msgs) > 0 {
		e.take(len(msgs))
		e.waker.Wake()
	}
	return nil
}

func (e *end) MayReceive(context.Context) {}
func (e *end) Waker() *link.Waker         { return e.waker }
func (e *end) Stuck(time.Time) bool       { return false }
func (e *end) put(now time.Time, m *kbusdev.Message) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.session.Room(link.Normal) {
		return false
	}
	e.session.Put(now, link.Normal, &link.Outgoing{Msg: *m, FromBus: true})
	return true
}

func linkOneWay(b *testing.B, network string, size int) {
	arrived := make(chan int, 1<<16)
	stream := dialStub(b, network, func(s grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error {
		e := newEnd()
		e.take = func(n int) { arrived <- n }
		return link.Attach(s.Context(), serverEnd{s}, e)
	})
	ctx, cancel := context.WithCancel(b.Context())
	e := newEnd()
	ended := make(chan struct{})
	go func() { defer close(ended); _ = link.Attach(ctx, clientEnd{stream}, e) }()
	m := message(size)
	got, sent := 0, 0
	for b.Loop() {
		for !e.put(time.Now(), &m) {
			e.waker.Wake()
			select {
			case <-e.room:
			case n := <-arrived:
				got += n
			}
		}
		if sent++; sent%link.MaxBatchMessages == 0 {
			e.waker.Wake()
		}
	}
	e.waker.Wake()
	for got < sent {
		got += <-arrived
	}
	cancel()
	_ = stream.CloseSend()
	b.Cleanup(func() { <-ended })
}
