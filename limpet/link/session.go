package link

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Times of a session.
const (
	// PingEvery is how often each side sends a ping.
	PingEvery = 3 * time.Second
	// StuckAfter is how long the peer may leave a message that it has received
	// without an acknowledgement before the stream is given up.
	StuckAfter = 10 * time.Second
	// ackDelay is how long an acknowledgement waits for a batch that it can be
	// piggybacked on.
	ackDelay = 2 * time.Millisecond
)

// SessionConfig is what a session is made with.
type SessionConfig struct {
	// ID names the session.
	ID SessionID
	// WindowMessages and WindowBytes bound what may be in flight, each way: the lesser
	// of both greetings' values. Both are above 0.
	WindowMessages int
	WindowBytes    int
	// NoAcks is for a peer that sends no acknowledgements and keeps no window: a message
	// counts as acknowledged once the stream has it, and MayReceive holds the peer up.
	NoAcks bool
}

// A Session is the conversation of two limpets.
type Session = SessionOf[kbusdev.Message, kbusdev.Message]

// A SessionOf is a conversation over one stream after the other, in which this side sends
// messages of kind Out and the peer those of kind In. It is pure, and not safe for
// concurrent use.
type SessionOf[Out, In any] struct {
	cfg SessionConfig
	out outbox[Out]
	in  inbox[In]

	attached bool
	drain    *Drain
	final    *Error
	ended    bool
	pingAt   time.Time
	ackAt    time.Time // when the acknowledgement that is pending must go; zero if none is

	peerReceived uint64
	owedSince    time.Time // since when the peer has left what it has received unacknowledged

	unknown uint64
}

// NewSession returns a session of two limpets that is detached.
func NewSession(cfg SessionConfig) *Session {
	return NewSessionOf(cfg, measureMessage, (*kbusdev.Message).Size)
}

// NewSessionOf returns a session that is detached. measure is asked once for each message
// that is put; size returns what a message of the peer's counts for in the window, in
// bytes.
func NewSessionOf[Out, In any](cfg SessionConfig, measure func(*Out) Measure, size func(*In) int) *SessionOf[Out, In] {
	return &SessionOf[Out, In]{
		cfg: cfg,
		out: outbox[Out]{measure: measure, windowMessages: cfg.WindowMessages, windowBytes: cfg.WindowBytes},
		in:  inbox[In]{size: size, windowMessages: cfg.WindowMessages, windowBytes: cfg.WindowBytes},
	}
}

// ID returns the session's name.
func (s *SessionOf[Out, In]) ID() SessionID { return s.cfg.ID }

// Expected returns the next sequence number that we expect: for our greeting.
func (s *SessionOf[Out, In]) Expected() uint64 { return s.in.received + 1 }

// Attach starts a stream at now, on which the peer expects the number peerExpected
// next: what it has not received will be sent again. The error is an *Error, and the
// session has not changed then.
func (s *SessionOf[Out, In]) Attach(now time.Time, peerExpected uint64) error {
	if !s.out.rewind(peerExpected) {
		return Errorf(Protocol, "the peer expects sequence number %d, %d are acknowledged and %d were sent", peerExpected, s.out.acked, s.out.handed)
	}
	s.attached = true
	s.pingAt = now.Add(PingEvery)
	s.peerReceived = peerExpected - 1
	s.owedSince = time.Time{}
	s.noteOwed(now)
	s.in.ackSent = 0 // the last one may have been lost
	if s.in.done > 0 {
		s.ackAt = now
	}
	return nil
}

// Detach ends the stream. What was sent on it and not acknowledged is kept.
func (s *SessionOf[Out, In]) Detach() { s.attached = false }

// Attached reports whether there is a stream.
func (s *SessionOf[Out, In]) Attached() bool { return s.attached }

// Room reports whether a lane takes one more message.
func (s *SessionOf[Out, In]) Room(l Lane) bool { return s.out.room(l) }

// Empty reports whether nothing of a lane waits for the peer's acknowledgement.
func (s *SessionOf[Out, In]) Empty(l Lane) bool { return s.out.inLane[l].messages == 0 }

// Acknowledged returns how many messages the peer has acknowledged.
func (s *SessionOf[Out, In]) Acknowledged() uint64 { return s.out.acked }

// Oldest returns when the oldest message was put that the peer has not acknowledged; zero if
// there is none.
func (s *SessionOf[Out, In]) Oldest() time.Time { return s.out.oldest() }

// Waiting returns how many messages of the peer's Take has not returned.
func (s *SessionOf[Out, In]) Waiting() int { return s.in.waiting }

// Held returns how many bytes the session holds: of what is queued for the peer or not
// acknowledged by it, and of what the peer has sent and whose fate is not decided.
func (s *SessionOf[Out, In]) Held() int {
	n := s.in.bytes
	for _, l := range s.out.inLane {
		n += l.bytes
	}
	return n
}

// Put queues a message for the peer, whether or not its lane has room: callers ask Room
// before. now is given to Withdraw. The message is copied; its Data is shared, and must
// not be changed until the message is acknowledged.
func (s *SessionOf[Out, In]) Put(now time.Time, l Lane, out *OutgoingOf[Out]) {
	s.out.add(out, l, now)
}

// SetDrain tells the peer that we are about to end the epoch, and why.
func (s *SessionOf[Out, In]) SetDrain(reason string) { s.drain = &Drain{Reason: reason} }

// End ends the session: nothing but why is sent any more. If why is nil, the stream ends
// without a reason.
func (s *SessionOf[Out, In]) End(why *Error) { s.final, s.ended = why, true }

// Next returns the next frame for the stream. If there is none now, f is nil, and again
// is when to ask again unless something happens before. over reports that nothing will
// follow. A batch is the session's, and valid until the next call of Next or Flushed; the
// data of its messages is valid for ever.
func (s *SessionOf[Out, In]) Next(now time.Time) (f Frame, again time.Time, over bool) {
	switch {
	case s.ended && s.final != nil:
		f, s.final = s.final, nil
		return f, time.Time{}, false
	case s.ended:
		return nil, time.Time{}, true
	case s.drain != nil:
		f, s.drain = s.drain, nil
		return f, time.Time{}, false
	case !now.Before(s.pingAt): // before batches: there may always be one
		s.pingAt = now.Add(PingEvery)
		s.out.rest()
		return &Ping{Received: s.in.received}, time.Time{}, false
	}
	if b := s.out.take(); b != nil {
		b.Ack = s.takeAck()
		return b, time.Time{}, false
	}
	switch {
	case s.ackAt.IsZero():
		return nil, s.pingAt, false
	case now.Before(s.ackAt):
		return nil, s.ackAt, false
	default:
		return &Ack{Sequence: s.takeAck()}, time.Time{}, false
	}
}

// Due returns when Next will have a frame; zero is now, or perhaps now. Before that time
// it has none unless something happens.
func (s *SessionOf[Out, In]) Due() time.Time {
	switch {
	case s.ended || s.drain != nil || s.out.unsent():
		return time.Time{}
	case !s.ackAt.IsZero() && s.ackAt.Before(s.pingAt):
		return s.ackAt
	default:
		return s.pingAt
	}
}

// Light reports whether so little is on its way to the peer, or waits to be sent, that a
// transport takes it at once; see Waker.SendNow.
func (s *SessionOf[Out, In]) Light() bool {
	if s.cfg.NoAcks || s.ended || s.drain != nil {
		return false
	}
	bytes := 0
	for _, l := range s.out.inLane {
		bytes += l.bytes
	}
	return bytes <= lightBytes
}

// lightBytes is a quarter of what gRPC takes for a stream before it holds a sender up.
const lightBytes = 16 << 10

// takeAck returns the acknowledgement that is pending, 0 if none is.
func (s *SessionOf[Out, In]) takeAck() uint64 {
	s.ackAt = time.Time{}
	if s.cfg.NoAcks || s.in.done == s.in.ackSent {
		return 0
	}
	s.in.ackSent, s.in.freed = s.in.done, 0
	return s.in.done
}

// Flushed tells that the stream has taken everything that Next has returned so far.
func (s *SessionOf[Out, In]) Flushed() {
	s.out.flushed()
	if s.cfg.NoAcks {
		s.out.ack(s.out.sent)
	}
}

// Receive takes a Batch, an Ack, a Ping or an Unknown from the peer; the caller takes the
// other frames. The session keeps the messages of a batch and shares their data. The
// error is an *Error of code Protocol: the peer has broken the protocol, and the session
// must be ended.
func (s *SessionOf[Out, In]) Receive(now time.Time, f Frame) error {
	switch f := f.(type) {
	case *BatchOf[In]:
		if err := s.in.add(f); err != nil {
			return err
		}
		if f.Ack != 0 {
			return s.acked(now, f.Ack)
		}
	case *Ack:
		return s.acked(now, f.Sequence)
	case *Ping:
		if f.Received > s.out.sent {
			return Errorf(Protocol, "the peer has received sequence number %d, only %d were sent", f.Received, s.out.sent)
		}
		s.peerReceived = max(s.peerReceived, f.Received)
		s.noteOwed(now)
	case *Unknown:
		s.unknown++
	default:
		return Errorf(Protocol, "a frame %T in the middle of a session", f)
	}
	return nil
}

func (s *SessionOf[Out, In]) acked(now time.Time, seq uint64) error {
	before := s.out.acked
	if !s.out.ack(seq) {
		return Errorf(Protocol, "an acknowledgement of sequence number %d, only %d were sent", seq, s.out.sent)
	}
	if s.out.acked > before {
		s.owedSince = time.Time{}
		s.noteOwed(now)
	}
	return nil
}

func (s *SessionOf[Out, In]) noteOwed(now time.Time) {
	switch {
	case s.peerReceived <= s.out.acked:
		s.owedSince = time.Time{}
	case s.owedSince.IsZero():
		s.owedSince = now
	}
}

// StuckSince returns since when the peer has left messages that it has received
// without an acknowledgement; zero if it has not. It says nothing of the time that a
// message needs to get there: a slow link is not stuck.
func (s *SessionOf[Out, In]) StuckSince() time.Time { return s.owedSince }

// Take returns messages that the peer has sent, at most so many and none only if there
// are none, and the sequence number of the first. They are the caller's.
func (s *SessionOf[Out, In]) Take(most int) (first uint64, msgs []In) { return s.in.take(most) }

// Decided tells that the fate of message seq is decided on our bus. It must be called
// once for each message that Take has returned, in any order; size is the message's size.
// The message is acknowledged when every message before it is decided too.
func (s *SessionOf[Out, In]) Decided(now time.Time, seq uint64, size int) {
	s.in.decided(seq, size)
	switch owed := s.in.done - s.in.ackSent; {
	case s.cfg.NoAcks || owed == 0:
	case owed >= uint64(s.cfg.WindowMessages)/4, s.in.freed >= s.cfg.WindowBytes/4: // the peer may wait for room
		s.ackAt = now
	case s.ackAt.IsZero():
		s.ackAt = now.Add(ackDelay)
	}
}

// MayReceive reports whether the next frame may be read from the stream: a peer that
// keeps no window is held up while ours is full.
func (s *SessionOf[Out, In]) MayReceive() bool { return !s.cfg.NoAcks || !s.in.full() }

// Withdraw removes the messages that were never handed to a stream, so that the peer
// cannot have seen them, and that unwanted reports; at is when a message was queued.
func (s *SessionOf[Out, In]) Withdraw(unwanted func(out *OutgoingOf[Out], at time.Time) bool) {
	s.out.withdraw(func(it *item[Out]) bool { return unwanted(&it.OutgoingOf, it.at) })
}

// Unacknowledged calls f for each message that the peer has not acknowledged, in the
// order of sending; handed reports whether it was ever handed to a stream, so that the
// peer may have it. f must not change the message.
func (s *SessionOf[Out, In]) Unacknowledged(f func(out *OutgoingOf[Out], handed bool)) {
	for i := range s.out.unacked.n {
		f(&s.out.unacked.at(i).OutgoingOf, true)
	}
	for i := range s.out.queued() {
		f(&s.out.waiting(i).OutgoingOf, false)
	}
}

// Stats are the counts of a session.
type Stats struct {
	// Delivered messages from our bus were acknowledged by the peer.
	Delivered uint64
	// Waiting are queued here; Unacked were handed to a stream.
	Waiting, Unacked int
	// Sent were handed to a stream, ever.
	Sent uint64
	// Received came from the peer; of these, Done have their fate decided.
	Received, Done uint64
	// UnknownFrames were ignored.
	UnknownFrames uint64
}

// Stats returns the counts now.
func (s *SessionOf[Out, In]) Stats() Stats {
	return Stats{
		Delivered:     s.out.delivered,
		Waiting:       s.out.queued(),
		Unacked:       s.out.unacked.n,
		Sent:          s.out.handed,
		Received:      s.in.received,
		Done:          s.in.done,
		UnknownFrames: s.unknown,
	}
}
