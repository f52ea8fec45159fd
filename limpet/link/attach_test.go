package link_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
)

// An attempt is one Attach under test, in a bubble with time of its own. When the bubble
// ends, nothing may be left running in it.
type attempt struct {
	t      *testing.T
	m      *memStream
	d      *driver
	begun  time.Time
	cancel context.CancelCauseFunc
	ended  chan error
}

func attach(t *testing.T, prepare ...func(*attempt)) *attempt {
	a := &attempt{t: t, m: newMemStream(), d: newDriver(), begun: time.Now(), ended: make(chan error, 1)}
	for _, f := range prepare {
		f(a)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	a.cancel = cancel
	go func() { a.ended <- link.Attach(ctx, a.m, a.d) }()
	return a
}

// want waits for the end and compares it, and when it came.
func (a *attempt) want(err error, after time.Duration) {
	a.t.Helper()
	got := <-a.ended
	took := time.Since(a.begun)
	if !errors.Is(got, err) {
		a.t.Errorf("Attach ended with %v, want %v", got, err)
	}
	if took != after {
		a.t.Errorf("Attach ended after %v, want %v", took, after)
	}
	if !a.m.isClosed() {
		a.t.Error("the stream is open after Attach")
	}
	a.cancel(nil)
	synctest.Wait()
	select {
	case f := <-a.m.toPeer:
		a.t.Errorf("after Attach %#v is sent", f)
	default:
	}
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestSilence(t *testing.T) {
	bubble(t, "nothing comes", func(t *testing.T) {
		a := attach(t)
		go a.m.takeAll()
		a.want(link.ErrSilent, 12*time.Second)
	})
	bubble(t, "while a send is blocked", func(t *testing.T) {
		a := attach(t)
		a.d.do(func(s *link.Session) { putMany(s, 1) })
		a.want(link.ErrSilent, 12*time.Second)
	})
	bubble(t, "after the last frame", func(t *testing.T) {
		a := attach(t)
		go a.m.takeAll()
		synctest.Wait()
		time.Sleep(5500 * time.Millisecond) //nolint:forbidigo // in a bubble
		a.m.fromPeer <- &link.Ping{}
		a.want(link.ErrSilent, 18*time.Second)
	})
	bubble(t, "a slow frame", func(t *testing.T) { // 10 kB/s, 1 MiB
		a := attach(t)
		go a.m.takeAll()
		go func() {
			for range 105 {
				time.Sleep(time.Second) //nolint:forbidigo // in a bubble
				a.m.bytes.Add(10_000)
			}
			a.m.fromPeer <- batch(1, 1)
			close(a.m.fromPeer)
		}()
		a.want(link.ErrPeerClosed, 105*time.Second)
	})
	bubble(t, "pings of the transport only", func(t *testing.T) {
		a := attach(t)
		go a.m.takeAll()
		go a.m.every(5*time.Second, func() { a.m.bytes.Add(2 * 17) })
		a.want(link.ErrWedged, 45*time.Second)
	})
	bubble(t, "a peer that pings", func(t *testing.T) {
		a := attach(t)
		go a.m.takeAll()
		go a.m.every(link.PingEvery, func() {
			select {
			case a.m.fromPeer <- &link.Ping{}:
			default:
			}
		})
		time.Sleep(time.Hour) //nolint:forbidigo // in a bubble
		a.cancel(io.ErrNoProgress)
		a.want(io.ErrNoProgress, time.Hour)
	})
}

func TestStuckPeerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := attach(t, func(a *attempt) { a.d.stuck = true })
		a.want(link.ErrNoProgress, time.Second)
	})
}

// The driver's end: the last frame is sent, and the peer has a second to close in turn.
func TestOrderlyEnd(t *testing.T) {
	bye := link.Errorf(link.GoingAway, "stopping")
	bubble(t, "the peer closes too", func(t *testing.T) {
		a := attach(t)
		a.d.do(func(s *link.Session) { s.End(bye) })
		if f := <-a.m.toPeer; f != bye {
			t.Errorf("the last frame is %#v", f)
		}
		<-a.m.halfDone
		if a.m.isClosed() {
			t.Error("the stream is closed before the peer has closed it")
		}
		close(a.m.fromPeer)
		a.want(nil, 0)
	})
	bubble(t, "the peer goes on", func(t *testing.T) {
		a := attach(t)
		a.d.do(func(s *link.Session) { s.End(bye) })
		<-a.m.toPeer
		go a.m.every(time.Millisecond, func() {
			select {
			case a.m.fromPeer <- &link.Ping{}:
			default:
			}
		})
		a.want(nil, time.Second)
	})
	bubble(t, "the peer says why", func(t *testing.T) {
		a := attach(t)
		a.m.fromPeer <- &link.Error{Code: link.GoingAway, Message: "stopping", Remote: true}
		a.want(bye, 0)
	})
	bubble(t, "the peer closes", func(t *testing.T) {
		a := attach(t)
		close(a.m.fromPeer)
		a.want(io.EOF, 0)
	})
}

// What ends a stream while a send is blocked in flow control, or a receive is held up.
func TestBlocked(t *testing.T) {
	broken := errors.New("broken")
	bubble(t, "cancel", func(t *testing.T) {
		a := attach(t, func(a *attempt) { putMany(a.d.s, 3); a.d.hold = make(chan struct{}) })
		synctest.Wait()
		a.cancel(broken)
		a.want(broken, 0)
	})
	bubble(t, "recv fails", func(t *testing.T) {
		a := attach(t, func(a *attempt) { putMany(a.d.s, 3) })
		synctest.Wait()
		a.m.fails <- broken
		a.want(broken, 0)
	})
	bubble(t, "the peer breaks the protocol, and takes nothing", func(t *testing.T) {
		a := attach(t, func(a *attempt) { putMany(a.d.s, 3) })
		synctest.Wait()
		a.m.fromPeer <- &link.Ack{Sequence: 100}
		go a.m.every(time.Millisecond, func() { // it goes on for ever
			select {
			case a.m.fromPeer <- batch(1, 1):
			default:
			}
		})
		a.want(&link.Error{Code: link.Protocol}, time.Second)
		if n := len(a.d.took); n != 1 {
			t.Errorf("the driver was given %d frames, want the wrong one only", n)
		}
	})
	bubble(t, "the peer breaks the protocol, and listens", func(t *testing.T) {
		a := attach(t)
		a.m.fromPeer <- batch(2, 1)
		if e, ok := (<-a.m.toPeer).(*link.Error); !ok || e.Code != link.Protocol {
			t.Errorf("the peer is told %#v", e)
		}
		close(a.m.fromPeer)
		a.want(nil, 0)
	})
}

// halfBroken is a stream that cannot send any more. Recv may say why.
type halfBroken struct{ *memStream }

func (halfBroken) Send(link.Frame) error { return io.EOF } // as gRPC does

// A sender learns no more than that the stream has ended; the receiver may say why.
func TestSendFails(t *testing.T) {
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		m := halfBroken{newMemStream()}
		go func() {
			time.Sleep(time.Second / 2) //nolint:forbidigo // in a bubble
			m.fails <- broken
		}()
		d := newDriver()
		putMany(d.s, 1)
		if err := link.Attach(context.Background(), m, d); !errors.Is(err, broken) {
			t.Errorf("Attach ended with %v", err)
		}
		m, d = halfBroken{newMemStream()}, newDriver()
		putMany(d.s, 1)
		begun := time.Now()
		if err := link.Attach(context.Background(), m, d); err == nil || time.Since(begun) != time.Second {
			t.Errorf("Attach ended with %v after %v", err, time.Since(begun))
		}
	})
}

// A woken sender sends at once, and pings when there is nothing else.
func TestSendsWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := attach(t)
		synctest.Wait()
		a.d.do(func(s *link.Session) { putMany(s, 2) })
		if b, ok := (<-a.m.toPeer).(*link.Batch); !ok || len(b.Messages) != 2 || time.Since(a.begun) != 0 {
			t.Errorf("after %v: %#v", time.Since(a.begun), b)
		}
		if p, ok := (<-a.m.toPeer).(*link.Ping); !ok || time.Since(a.begun) != link.PingEvery {
			t.Errorf("after %v: %#v", time.Since(a.begun), p)
		}
		a.m.fromPeer <- batch(1, 1)
		synctest.Wait()
		a.d.do(func(s *link.Session) {
			s.Take(1)
			s.Decided(time.Now(), 1, 3)
		})
		before := time.Now()
		if k, ok := (<-a.m.toPeer).(*link.Ack); !ok || k.Sequence != 1 || time.Since(before) != 2*time.Millisecond {
			t.Errorf("after %v: %#v", time.Since(before), k)
		}
		a.cancel(io.EOF)
		a.want(io.EOF, link.PingEvery+2*time.Millisecond)
	})
}
