package link_test

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
)

// A memStream is a stream in memory; the test is the peer. Send blocks until the test
// takes the frame, as with flow control.
type memStream struct {
	toPeer   chan link.Frame
	fromPeer chan link.Frame // closed for an end in order
	fails    chan error      // what Recv fails with
	bytes    atomic.Uint64
	halfDone chan struct{} // CloseSend was called
	closed   chan struct{}
	half     sync.Once
	whole    sync.Once
}

func newMemStream() *memStream {
	return &memStream{
		toPeer: make(chan link.Frame), fromPeer: make(chan link.Frame, 64), fails: make(chan error, 1),
		halfDone: make(chan struct{}), closed: make(chan struct{}),
	}
}

func (m *memStream) Send(f link.Frame) error {
	if b, ok := f.(*link.Batch); ok {
		f = b.Clone()
	}
	select {
	case m.toPeer <- f:
		return nil
	case <-m.closed:
		return io.ErrClosedPipe
	}
}

func (m *memStream) Recv() (link.Frame, error) {
	select {
	case f, ok := <-m.fromPeer:
		if !ok {
			return nil, io.EOF
		}
		m.bytes.Add(20)
		return f, nil
	case err := <-m.fails:
		return nil, err
	case <-m.closed:
		return nil, io.ErrClosedPipe
	}
}

func (m *memStream) Heard() uint64    { return m.bytes.Load() }
func (m *memStream) CloseSend() error { m.half.Do(func() { close(m.halfDone) }); return nil }
func (m *memStream) Close()           { m.whole.Do(func() { close(m.closed) }) }

func (m *memStream) isClosed() bool {
	select {
	case <-m.closed:
		return true
	default:
		return false
	}
}

// takeAll reads what is sent until the stream is closed.
func (m *memStream) takeAll() {
	for {
		select {
		case <-m.toPeer:
		case <-m.closed:
			return
		}
	}
}

// every sends what f does to the stream again and again until it is closed.
func (m *memStream) every(d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f()
		case <-m.closed:
			return
		}
	}
}

// A driver is a session under a lock, as an epoch has it.
type driver struct {
	mu    sync.Mutex
	s     *link.Session
	stuck bool
	took  []link.Frame
	waker *link.Waker
	hold  chan struct{} // if not nil, MayReceive blocks until it is closed
}

func newDriver() *driver {
	d := &driver{s: link.NewSession(link.SessionConfig{WindowMessages: 8, WindowBytes: 1000}), waker: link.NewWaker()}
	if err := d.s.Attach(time.Now(), 1); err != nil {
		panic(err)
	}
	return d
}

// do changes the session and wakes the sender.
func (d *driver) do(f func(s *link.Session)) {
	d.mu.Lock()
	f(d.s)
	d.mu.Unlock()
	d.waker.Wake()
}

func (d *driver) NextFrame(now time.Time) (link.Frame, time.Time, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.s.Next(now)
}

func (d *driver) Flushed(time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s.Flushed()
}

func (d *driver) TakeFrame(now time.Time, f link.Frame) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took = append(d.took, f)
	if e, ok := f.(*link.Error); ok {
		return e
	}
	err := d.s.Receive(now, f)
	if e, ok := err.(*link.Error); ok { //nolint:errorlint // a session gives no other
		d.s.End(e)
		d.waker.Wake()
	}
	return err
}

func (d *driver) MayReceive(ctx context.Context) {
	if d.hold != nil {
		select {
		case <-d.hold:
		case <-ctx.Done():
		}
	}
}

func (d *driver) Waker() *link.Waker { return d.waker }

func (d *driver) Stuck(time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stuck
}
