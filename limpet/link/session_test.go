package link_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// start is when the tests' time begins. A session has no clock of its own.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// attached returns a session with a window of 8 messages and 1000 bytes, and a stream.
func attached(t testing.TB, change ...func(*link.SessionConfig)) *link.Session {
	t.Helper()
	cfg := link.SessionConfig{ID: link.SessionID{1}, WindowMessages: 8, WindowBytes: 1000}
	for _, f := range change {
		f(&cfg)
	}
	s := link.NewSession(cfg)
	if s.Attached() {
		t.Error("a new session is attached")
	}
	if err := s.Attach(start, 1); err != nil {
		t.Fatal(err)
	}
	return s
}

func noAcks(cfg *link.SessionConfig) { cfg.NoAcks = true }

func announcement(name string) *link.Outgoing {
	return &link.Outgoing{Msg: kbusdev.Message{Name: name}, FromBus: true}
}

func putMany(s *link.Session, n int) {
	for range n {
		s.Put(start, link.Normal, announcement("$.A"))
	}
}

func batch(first uint64, n int) *link.Batch {
	b := &link.Batch{First: first}
	for range n {
		b.Messages = append(b.Messages, kbusdev.Message{Name: "$.B"})
	}
	return b
}

// after is start and some time.
func after(d time.Duration) time.Time { return start.Add(d) }

// next returns what Next gives, in words.
func next(s *link.Session, now time.Time) string {
	f, again, over := s.Next(now)
	switch f := f.(type) {
	case nil:
		switch {
		case over:
			return "over"
		case again.IsZero():
			return "never"
		}
		return "in " + again.Sub(now).String()
	case *link.Batch:
		return fmt.Sprintf("batch %d+%d ack %d", f.First, len(f.Messages), f.Ack)
	case *link.Ack:
		return fmt.Sprintf("ack %d", f.Sequence)
	case *link.Ping:
		return fmt.Sprintf("ping %d", f.Received)
	case *link.Drain:
		return "drain " + f.Reason
	case *link.Error:
		return "error " + f.Message
	default:
		return fmt.Sprintf("%#v", f)
	}
}

func wantNext(t *testing.T, s *link.Session, now time.Time, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := next(s, now); got != w {
			t.Fatalf("after %v the next frame is %q, want %q", now.Sub(start), got, w)
		}
	}
}

func receive(t *testing.T, s *link.Session, now time.Time, frames ...link.Frame) {
	t.Helper()
	for _, f := range frames {
		if err := s.Receive(now, f); err != nil {
			t.Fatalf("%#v: %v", f, err)
		}
	}
}

func wantStats(t *testing.T, s *link.Session, want link.Stats) {
	t.Helper()
	if got := s.Stats(); !reflect.DeepEqual(got, want) {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}

func TestFramesComeInOrder(t *testing.T) {
	s := attached(t)
	putMany(s, 3)
	s.SetDrain("bye")
	wantNext(t, s, start, "drain bye", "batch 1+3 ack 0", "in 3s")
	wantNext(t, s, after(2999*time.Millisecond), "in 1ms")
	wantNext(t, s, after(3*time.Second), "ping 0", "in 3s")

	putMany(s, 1)
	s.End(link.Errorf(link.GoingAway, "stopping"))
	wantNext(t, s, after(4*time.Second), "error stopping", "over", "over")

	s = attached(t)
	putMany(s, 1)
	s.End(nil)
	wantNext(t, s, start, "over")
}

// Pings tell the peer that its messages have arrived. Messages that go out all the time
// must not hold them up, or the peer would never know that its own are stuck.
func TestPingsAreNotHeldUp(t *testing.T) {
	s := attached(t)
	receive(t, s, start, batch(1, 2))
	pings := 0
	for now := start; now.Before(after(time.Minute)); now = now.Add(100 * time.Millisecond) {
		putMany(s, 1)
		if next(s, now) == "ping 2" {
			pings++
			wantNext(t, s, now, fmt.Sprintf("batch %d+1 ack 0", s.Stats().Sent+1))
		}
		receive(t, s, now, &link.Ack{Sequence: s.Stats().Sent})
	}
	if pings < 15 {
		t.Errorf("%d pings in a minute, want about 20", pings)
	}
}

func TestAcksArePiggybackedOrComeSoon(t *testing.T) {
	s := attached(t)
	receive(t, s, start, batch(1, 4))
	wantNext(t, s, start, "in 3s") // nothing is decided
	s.Decided(start, 2, 3)
	wantNext(t, s, start, "in 3s") // not the first
	s.Decided(start, 1, 3)
	wantNext(t, s, start, "ack 2", "in 3s") // a quarter of the window is at once
	s.Decided(start, 3, 3)
	wantNext(t, s, start, "in 2ms")
	putMany(s, 1)
	wantNext(t, s, start, "batch 1+1 ack 3", "in 3s")
	s.Decided(start, 4, 3)
	wantNext(t, s, after(time.Millisecond), "in 1ms")
	wantNext(t, s, after(2*time.Millisecond), "ack 4", "in 2.998s")
	putMany(s, 1)
	wantNext(t, s, after(3*time.Millisecond), "batch 2+1 ack 0")
	wantStats(t, s, link.Stats{Unacked: 2, Sent: 2, Received: 4, Done: 4})
}

// A quarter of the window in bytes is acknowledged at once, too: the peer may wait for room.
func TestAcksOfManyBytesComeAtOnce(t *testing.T) {
	s := attached(t)
	receive(t, s, start, batch(1, 3))
	s.Decided(start, 1, 249)
	wantNext(t, s, start, "in 2ms", "in 2ms")
	wantNext(t, s, after(2*time.Millisecond), "ack 1", "in 2.998s")
	s.Decided(after(3*time.Millisecond), 2, 250)
	wantNext(t, s, after(3*time.Millisecond), "ack 2", "in 2.997s")
	s.Decided(after(4*time.Millisecond), 3, 3) // it is counted from the last one
	wantNext(t, s, after(4*time.Millisecond), "in 2ms")
}

// An acknowledgement may have been lost with the stream, so the next one says it again.
func TestAckIsToldAgainOnTheNextStream(t *testing.T) {
	s := attached(t)
	receive(t, s, start, batch(1, 2))
	s.Decided(start, 1, 3)
	s.Decided(start, 2, 3)
	wantNext(t, s, start, "ack 2", "in 3s")
	s.Detach()
	if err := s.Attach(after(time.Minute), 1); err != nil {
		t.Fatal(err)
	}
	wantNext(t, s, after(time.Minute), "ack 2", "in 3s")
}

func TestResumeSendsAgainWhatWasNotReceived(t *testing.T) {
	s := attached(t)
	putMany(s, 3)
	wantNext(t, s, start, "batch 1+3 ack 0")
	receive(t, s, start, &link.Ack{Sequence: 1})
	s.Detach()
	putMany(s, 2)
	wantStats(t, s, link.Stats{Delivered: 1, Waiting: 2, Unacked: 2, Sent: 3})
	if got := s.Expected(); got != 1 {
		t.Errorf("expects %d", got)
	}
	for _, expected := range []uint64{0, 1, 5, math.MaxUint64} {
		var e *link.Error
		if err := s.Attach(start, expected); !errors.As(err, &e) || e.Code != link.Protocol || !e.Refusal() {
			t.Errorf("a peer that expects %d: %v", expected, err)
		}
		if s.Attached() {
			t.Fatalf("a peer that expects %d is attached", expected)
		}
	}
	if err := s.Attach(start, 3); err != nil {
		t.Fatal(err)
	}
	wantNext(t, s, start, "batch 3+3 ack 0", "in 3s")
	receive(t, s, start, &link.Ack{Sequence: 5})
	wantStats(t, s, link.Stats{Delivered: 5, Sent: 5})
}

// What a hostile peer may send, and that it ends there.
func TestBrokenProtocol(t *testing.T) {
	huge := batch(1, 1)
	huge.Messages[0].Data = make([]byte, 8<<20)
	for _, c := range []struct {
		name  string
		frame link.Frame
		words string
	}{
		{"a gap", batch(2, 1), "sequence number 2, expected was 1"},
		{"an empty batch", batch(1, 0), "a batch of 0 messages"},
		{"a batch of too many", batch(1, link.MaxBatchMessages+1), "a batch of 257 messages"},
		{"more than the window", huge, "the window has room for 8 and 1000"},
		{"an ack of what was not sent", &link.Ack{Sequence: 4}, "sequence number 4, only 3 were sent"},
		{"an ack of everything", &link.Ack{Sequence: math.MaxUint64}, "only 3 were sent"},
		{"a piggybacked one", &link.Batch{First: 1, Messages: batch(1, 1).Messages, Ack: 4}, "only 3 were sent"},
		{"a ping that has received too much", &link.Ping{Received: 4}, "sequence number 4, only 3 were sent"},
		{"a second greeting", &link.Greeting{}, "a frame *link.Greeting in the middle"},
		{"no frame", nil, "a frame <nil> in the middle"},
	} {
		s := attached(t)
		putMany(s, 5)
		wantNext(t, s, start, "batch 1+5 ack 0")
		s.Detach()
		if err := s.Attach(start, 4); err != nil { // so that 3 are sent on this stream
			t.Fatal(err)
		}
		err := s.Receive(start, c.frame)
		var e *link.Error
		if !errors.As(err, &e) || e.Code != link.Protocol || e.Remote || !strings.Contains(e.Message, c.words) {
			t.Errorf("%s: %v, want a protocol error about %q", c.name, err, c.words)
		}
		if st := s.Stats(); st.Unacked != 5 || st.Delivered != 0 {
			t.Errorf("%s: %+v", c.name, st)
		}
	}
}

func TestUnknownFramesAreCounted(t *testing.T) {
	s := attached(t)
	receive(t, s, start, &link.Unknown{}, &link.Unknown{})
	wantStats(t, s, link.Stats{UnknownFrames: 2})
}

// StuckSince is since when the peer has had a message without acknowledging anything,
// not since when the message is under way.
func TestStuckSince(t *testing.T) {
	s := attached(t)
	wantStuck := func(since time.Time) {
		t.Helper()
		if got := s.StuckSince(); !got.Equal(since) {
			t.Errorf("stuck since %v, want %v", got, since)
		}
	}
	putMany(s, 4)
	wantNext(t, s, start, "batch 1+4 ack 0")
	wantStuck(time.Time{})
	receive(t, s, after(time.Second), &link.Ping{Received: 0})
	wantStuck(time.Time{})
	receive(t, s, after(2*time.Second), &link.Ping{Received: 2})
	receive(t, s, after(5*time.Second), &link.Ping{Received: 3})
	wantStuck(after(2 * time.Second))
	receive(t, s, after(6*time.Second), &link.Ack{Sequence: 1})
	wantStuck(after(6 * time.Second)) // it has taken one, and owes the rest
	receive(t, s, after(7*time.Second), &link.Ack{Sequence: 1})
	wantStuck(after(6 * time.Second)) // which is not news
	receive(t, s, after(8*time.Second), &link.Ack{Sequence: 3})
	wantStuck(time.Time{})
	s.Detach()
	if err := s.Attach(after(9*time.Second), 5); err != nil {
		t.Fatal(err)
	}
	wantStuck(after(9 * time.Second)) // its greeting says that it has the fourth
	receive(t, s, after(10*time.Second), &link.Ack{Sequence: 4})
	wantStuck(time.Time{})
}

// A peer that sends no acknowledgements: what the stream has taken counts as delivered,
// none is sent, and the peer is held up while the window is full.
func TestNoAcks(t *testing.T) {
	s := attached(t, noAcks)
	for i := range 100 {
		if !s.Room(link.Normal) {
			t.Fatalf("the window is full after %d messages", i)
		}
		putMany(s, 1)
		wantNext(t, s, start, fmt.Sprintf("batch %d+1 ack 0", i+1))
		if st := s.Stats(); st.Delivered != uint64(i) || st.Unacked != 1 {
			t.Errorf("before the stream has it: %+v", st)
		}
		s.Flushed()
	}
	wantStats(t, s, link.Stats{Delivered: 100, Sent: 100})

	receive(t, s, start, batch(1, 7))
	if !s.MayReceive() {
		t.Error("7 messages fill a window of 8")
	}
	receive(t, s, start, batch(8, 1))
	for seq := uint64(8); seq > 0; seq-- {
		if s.MayReceive() {
			t.Errorf("with %d messages open the window has room", seq)
		}
		s.Decided(start, seq, 3)
	}
	if !s.MayReceive() {
		t.Error("there is no room after all is decided")
	}
	wantNext(t, s, after(time.Second), "in 2s") // no ack

	s = attached(t) // a peer with a window is never held up
	receive(t, s, start, batch(1, 8))
	s.Flushed()
	if !s.MayReceive() {
		t.Error("a peer that keeps a window is held up")
	}
}

func TestUnacknowledgedInOrder(t *testing.T) {
	s := attached(t)
	putMany(s, 2)
	wantNext(t, s, start, "batch 1+2 ack 0")
	receive(t, s, start, &link.Ack{Sequence: 1})
	s.Put(start, link.Normal, announcement("$.N"))
	s.Put(start, link.Answers, &link.Outgoing{Msg: kbusdev.Message{Name: "$.R"}})
	s.Put(start, link.Binds, &link.Outgoing{Msg: kbusdev.Message{Name: "$.E"}})
	var got []string
	s.Unacknowledged(func(out *link.Outgoing, handed bool) {
		got = append(got, fmt.Sprintf("%s %v %v", out.Msg.Name, out.FromBus, handed))
	})
	if want := "$.A true true,$.E false false,$.N true false,$.R false false"; strings.Join(got, ",") != want {
		t.Errorf("unacknowledged are %q, want %q", strings.Join(got, ","), want)
	}
	for _, l := range []link.Lane{link.Normal, link.Answers, link.Binds} {
		if s.Empty(l) {
			t.Errorf("lane %d is empty", l)
		}
	}
	s.Withdraw(func(out *link.Outgoing, at time.Time) bool { return at.Equal(start) })
	if !s.Empty(link.Answers) || !s.Empty(link.Binds) || s.Empty(link.Normal) || s.Acknowledged() != 1 {
		t.Errorf("after a withdrawal: %+v", s.Stats())
	}
}

// A word is what a session of something else than a link's messages may carry.
type word string

// Both sides of a session may carry something of their own.
func TestSessionsOfOtherMessages(t *testing.T) {
	cfg := link.SessionConfig{WindowMessages: 4, WindowBytes: 100}
	words := link.NewSessionOf(cfg, func(w *word) link.Measure {
		return link.Measure{Size: len(*w), Overhead: 4, Urgent: (*w)[0] == '!'}
	}, func(*int) int { return 8 })
	numbers := link.NewSessionOf(cfg, func(*int) link.Measure { return link.Measure{Size: 8} }, func(w *word) int { return len(*w) })
	for _, err := range []error{words.Attach(start, 1), numbers.Attach(start, 1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range []word{"one", "two", "!now"} {
		words.Put(start, link.Normal, &link.OutgoingOf[word]{Msg: w})
	}
	f, _, _ := words.Next(start)
	if err := numbers.Receive(start, f); err != nil {
		t.Fatal(err)
	}
	first, got := numbers.Take(9)
	if first != 1 || !reflect.DeepEqual(got, []word{"!now", "one", "two"}) {
		t.Errorf("%d: %q", first, got)
	}
	numbers.Decided(start, 1, 4)
	numbers.Put(start, link.Normal, &link.OutgoingOf[int]{Msg: 7})
	f, _, _ = numbers.Next(start)
	if err := words.Receive(start, f); err != nil {
		t.Fatal(err)
	}
	if _, got := words.Take(9); !reflect.DeepEqual(got, []int{7}) || words.Acknowledged() != 1 {
		t.Errorf("%d, %d acknowledged", got, words.Acknowledged())
	}
	if err := words.Receive(start, &link.BatchOf[word]{First: 2, Messages: []word{"x"}}); err == nil {
		t.Error("it takes what only it sends")
	}
}
