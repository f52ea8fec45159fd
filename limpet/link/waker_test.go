package link_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A bufferedStream takes frames at once, and notes them, until it is blocked.
type bufferedStream struct {
	*memStream
	mu      sync.Mutex
	sent    []link.Frame
	blocked chan struct{} // Send blocks until it is closed; nil if it does not
	free    int           // so many frames it takes all the same
}

func (s *bufferedStream) Buffered() {}

func (s *bufferedStream) Send(f link.Frame) error {
	s.mu.Lock()
	blocked := s.blocked
	if s.free > 0 {
		s.free--
		blocked = nil
	}
	s.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	if b, ok := f.(*link.Batch); ok {
		f = b.Clone()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, f)
	return nil
}

func (s *bufferedStream) take() []link.Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.sent
	s.sent = nil
	return sent
}

func (s *bufferedStream) block(free int) (unblock func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	s.blocked, s.free = c, free
	return func() {
		s.mu.Lock()
		s.blocked = nil
		s.mu.Unlock()
		close(c)
	}
}

func put(d *driver, name string) (due time.Time, light bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s.Put(time.Now(), link.Normal, &link.Outgoing{Msg: kbusdev.Message{Name: name}})
	return d.s.Due(), d.s.Light()
}

func names(frames []link.Frame) (names []string) {
	for _, f := range frames {
		if b, ok := f.(*link.Batch); ok {
			for i := range b.Messages {
				names = append(names, b.Messages[i].Name)
			}
		}
	}
	return names
}

// Who puts a message on a stream that has room sends it, and has done so when Rouse returns.
func TestSendNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := newDriver(), &bufferedStream{memStream: newMemStream()}
		ended := make(chan error)
		go func() { ended <- link.Attach(t.Context(), s, d) }()
		synctest.Wait()
		d.waker.Rouse(put(d, "$.One"))
		if got := names(s.take()); len(got) != 1 || got[0] != "$.One" {
			t.Errorf("when Rouse has returned %v is sent", got)
		}

		// While the sender is held up, nobody else is, and nothing is lost.
		unblock := s.block(0)
		put(d, "$.Two")
		d.waker.Wake()
		synctest.Wait()
		d.waker.Rouse(put(d, "$.Three"))
		if got := s.take(); len(got) != 0 {
			t.Errorf("sent beside the sender: %v", got)
		}
		unblock()
		synctest.Wait()
		if got := names(s.take()); len(got) != 2 || got[0] != "$.Two" || got[1] != "$.Three" {
			t.Errorf("sent when the stream goes on: %v", got)
		}

		// The end that one finds who sends now is the sender's.
		d.mu.Lock()
		d.s.End(nil)
		d.mu.Unlock()
		d.waker.SendNow()
		synctest.Wait()
		close(s.fromPeer)
		if err := <-ended; err != nil {
			t.Errorf("the stream ended with %v", err)
		}
		put(d, "$.Late")
		d.waker.SendNow()
		if got := s.take(); len(got) != 0 {
			t.Errorf("sent when nothing was attached: %v", got)
		}
	})
}

// A second frame is left to the sender, for it might have to wait.
func TestSendNowSendsOneFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := newDriver(), &bufferedStream{memStream: newMemStream()}
		go func() { _ = link.Attach(t.Context(), s, d) }()
		synctest.Wait()
		d.mu.Lock()
		d.s.SetDrain("test")
		d.mu.Unlock()
		put(d, "$.One")
		unblock := s.block(1)
		d.waker.SendNow() // returns, though the second would block it
		if got := s.take(); len(got) != 1 {
			t.Errorf("%d frames were sent at once", len(got))
		}
		unblock()
		synctest.Wait()
		if got := names(s.take()); len(got) != 1 || got[0] != "$.One" {
			t.Errorf("then %v", got)
		}
		s.Close()
	})
}

// A stream that may hold a sender up is left to its own sender.
func TestOthersAreNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := newDriver(), newMemStream()
		go func() { _ = link.Attach(t.Context(), s, d) }()
		synctest.Wait()
		d.waker.Rouse(put(d, "$.One")) // would block for ever
		if got := names([]link.Frame{<-s.toPeer}); len(got) != 1 {
			t.Errorf("%v", got)
		}
		s.Close()
	})
}

// The sender wakes at the earliest of the times that it was given.
func TestWakeBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := newDriver(), &bufferedStream{memStream: newMemStream()}
		go func() { _ = link.Attach(t.Context(), s, d) }()
		synctest.Wait()
		now := time.Now()
		d.waker.WakeBy(now.Add(20 * time.Millisecond))
		d.waker.WakeBy(now.Add(10 * time.Millisecond))
		d.waker.WakeBy(now.Add(30 * time.Millisecond))
		put(d, "$.One")
		<-time.After(9 * time.Millisecond)
		synctest.Wait()
		if got := s.take(); len(got) != 0 {
			t.Errorf("%v too early", got)
		}
		<-time.After(time.Millisecond)
		synctest.Wait()
		if got := names(s.take()); len(got) != 1 {
			t.Errorf("%v in time", got)
		}
		s.Close()
	})
}

// A session is light as long as little waits, or is on its way.
func TestLight(t *testing.T) {
	s := link.NewSession(link.SessionConfig{WindowMessages: 100, WindowBytes: 1 << 20})
	if err := s.Attach(time.Now(), 1); err != nil {
		t.Fatal(err)
	}
	big := &link.Outgoing{Msg: kbusdev.Message{Name: "$.A", Data: make([]byte, 16<<10)}}
	if !s.Light() {
		t.Error("an empty session is not light")
	}
	s.Put(time.Now(), link.Answers, big)
	if s.Light() {
		t.Error("with 16 KiB waiting it is light")
	}
	s.Next(time.Now())
	if s.Light() {
		t.Error("with 16 KiB on their way it is light")
	}
	if err := s.Receive(time.Now(), &link.Ack{Sequence: 1}); err != nil {
		t.Fatal(err)
	}
	if !s.Light() {
		t.Error("with all acknowledged it is not light")
	}
	s.SetDrain("test")
	if s.Light() {
		t.Error("with a drain to be told, which is a frame of its own, it is light")
	}
}
