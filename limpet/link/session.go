package link

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Stream carries frames. Send and Recv are each called by one goroutine at a
// time. A frame given to Send is not touched again by the session.
type Stream interface {
	// Send hands a frame over; it may wait for flow control.
	Send(*pb.Frame) error
	// Recv waits for a frame; io.EOF when the peer has ended well.
	Recv() (*pb.Frame, error)
	// CloseSend says that nothing more will be sent, if that can be said.
	CloseSend() error
	// Close ends the stream at once, and unblocks Send and Recv. It may be called
	// at any time, and again.
	Close()
}

// Bounds of a batch, both ways. A single larger message goes alone.
const (
	MaxBatchMessages = 64
	MaxBatchBytes    = 32 << 10
)

// answerReserve is how many answers beyond its window a peer may have under way:
// as many as a limpet keeps requests open.
const answerReserve = 32768

// A Session is a link after its hellos. Its methods are safe for concurrent
// use, but TryRecv and Done are for one goroutine.
type Session struct {
	cfg    Config
	stream Stream
	peer   Peer

	mu      sync.Mutex
	out     outbox
	control []*pb.Frame // to send before any batch
	final   *pb.Frame   // to send last
	room    chan struct{}

	in       []kbusdev.Message // brought by the peer, not fetched
	inBytes  int
	received uint64 // sequence numbers, of the peer's
	done     uint64
	ackSent  uint64
	unknown  uint64
	full     uint64

	wakeSend chan struct{}
	wakeRecv chan struct{}
	credit   chan struct{} // with NoAcks: something is done, so more may be read
	ended    chan struct{} // closed with err set
	err      error
	endOnce  sync.Once
}

// Peer tells who is at the other end.
func (s *Session) Peer() Peer { return s.peer }

// Run sends and receives until ctx ends, End is called, or the stream fails, and
// returns why. The stream is closed then, and nothing is left running.
func (s *Session) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.End(errorf(GoingAway, "%s", context.Cause(ctx))) })
	defer stop()
	var both sync.WaitGroup
	sent, received := make(chan struct{}), make(chan struct{})
	both.Go(func() { defer close(sent); s.send() })
	both.Go(func() { defer close(received); s.receive() })
	<-s.ended
	// Let the last word out, and the peer close in its turn.
	last := time.NewTimer(s.cfg.CloseTimeout)
	defer last.Stop()
	for _, c := range []chan struct{}{sent, received} {
		select {
		case <-c:
		case <-last.C:
			s.stream.Close()
		}
	}
	s.stream.Close()
	both.Wait()
	return s.err
}

// End ends the link. Of an *Error that is not the peer's own, the peer is told.
func (s *Session) End(err error) {
	s.endOnce.Do(func() {
		s.mu.Lock()
		s.err = err
		var e *Error
		if errors.As(err, &e) && !e.Remote {
			s.final = errorFrame(e)
		}
		s.mu.Unlock()
		close(s.ended)
	})
}

// Ended is closed when the link has ended.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Send queues messages for the peer, as many as the window has room for, and
// returns how many. The messages are copied; their Data is shared.
func (s *Session) Send(msgs []Outgoing) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for ; n < len(msgs) && !s.out.full(); n++ {
		s.out.add(item{Outgoing: msgs[n]})
	}
	if n < len(msgs) {
		s.full++
	}
	if n > 0 {
		signal(s.wakeSend)
	}
	return n
}

// Room is signalled when the window has room again after Send took less than all.
func (s *Session) Room() <-chan struct{} { return s.room }

// Answer queues an answer to a request that the peer keeps open. It never waits
// for the window; the link ends when the peer takes none of too many.
func (s *Session) Answer(out *Outgoing) {
	s.mu.Lock()
	tooMany := s.out.answers >= answerReserve || s.out.answerBytes > int(s.cfg.WindowBytes)
	if !tooMany {
		s.out.add(item{Outgoing: *out, answer: true})
	}
	s.mu.Unlock()
	if tooMany {
		s.End(errorf(Stalled, "the peer takes none of our answers to its requests"))
		return
	}
	signal(s.wakeSend)
}

// SendTopology tells the peer what lies behind us now.
func (s *Session) SendTopology(networks []Network) {
	s.sendControl(&pb.Frame{Kind: &pb.Frame_Topology{Topology: topologyFrame(networks)}})
}

// SendDrain tells the peer that we are about to end the link.
func (s *Session) SendDrain(reason string) {
	s.sendControl(&pb.Frame{Kind: &pb.Frame_Drain{Drain: &pb.Drain{Reason: reason}}})
}

func (s *Session) sendControl(f *pb.Frame) {
	s.mu.Lock()
	s.control = append(s.control, f)
	s.mu.Unlock()
	signal(s.wakeSend)
}

// Incoming is signalled when TryRecv has something to give.
func (s *Session) Incoming() <-chan struct{} { return s.wakeRecv }

// TryRecv gives all the messages that the peer has brought, in order, none if
// there are none; also after the end. spare is memory for those to come.
func (s *Session) TryRecv(spare []kbusdev.Message) []kbusdev.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.in
	s.in, s.inBytes = spare[:0], 0
	return got
}

// Err is why the link ended, once Ended is closed.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Done tells that the fate of the next n messages from TryRecv is decided on our
// bus: they are acked.
func (s *Session) Done(n int) {
	s.mu.Lock()
	first := s.done == s.ackSent
	s.done += uint64(n)
	if s.cfg.NoAcks {
		s.ackSent = s.done
		s.mu.Unlock()
		signal(s.credit)
		return
	}
	urgent := s.done-s.ackSent >= uint64(s.cfg.WindowMessages/4)
	s.mu.Unlock()
	if first || urgent {
		signal(s.wakeSend)
	}
}

// Stats are the counts of a session.
type Stats struct {
	// Delivered messages from our bus were taken by the peer's.
	Delivered uint64
	// Waiting are queued here; Unacked are under way.
	Waiting, Unacked int
	// Sent were given to the stream, answers among them.
	Sent uint64
	// Received were brought by the peer; Done have their fate decided.
	Received, Done uint64
	// WindowFull counts the times that Send found no room.
	WindowFull uint64
	// UnknownFrames were ignored.
	UnknownFrames uint64
}

// Stats gives the counts now.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Delivered:     s.out.delivered,
		Waiting:       s.out.queued(),
		Unacked:       s.out.unacked.n,
		Sent:          s.out.sent,
		Received:      s.received,
		Done:          s.done,
		WindowFull:    s.full,
		UnknownFrames: s.unknown,
	}
}

// NeverLeft tells, once the link has ended, which messages were never given to
// the stream, by id: the peer cannot have seen them.
func (s *Session) NeverLeft() map[kbusdev.MsgID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make(map[kbusdev.MsgID]bool, s.out.queued())
	for i := range s.out.queued() {
		ids[s.out.peek(i).Msg.ID] = true
	}
	return ids
}

// Undelivered counts, once the link has ended, the messages from our bus that
// were not acked.
func (s *Session) Undelivered() (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range []*fifo{&s.out.urgent, &s.out.waiting, &s.out.unacked} {
		for i := range f.n {
			if f.at(i).FromBus {
				n++
			}
		}
	}
	return n
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
