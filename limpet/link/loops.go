package link

import (
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// send is the sending goroutine. It sends what is queued now and never waits
// for more; an ack with nothing to ride on waits a moment.
func (s *Session) send() {
	ackDelay := time.NewTimer(time.Hour)
	defer ackDelay.Stop()
	ackArmed, ackDue := false, false
	for {
		frame, ackWaits := s.nextFrame(ackDue)
		switch {
		case frame != nil:
			ackDue = false
			if err := s.stream.Send(frame); err != nil {
				s.End(streamError("sending to the peer", err))
				return
			}
			if s.cfg.NoAcks {
				s.ackSelf()
			}
			continue
		case ackWaits && !ackArmed:
			ackDelay.Reset(s.cfg.AckDelay)
			ackArmed = true
		}
		select {
		case <-s.wakeSend:
		case <-ackDelay.C:
			ackArmed, ackDue = false, true
		case <-s.ended:
			s.sendFinal()
			return
		}
	}
}

// nextFrame makes the next frame to send, nil if there is none now. ackWaits: an
// ack is owed, and may wait a little for a batch to ride on.
func (s *Session) nextFrame(ackDue bool) (frame *pb.Frame, ackWaits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.control) > 0 {
		frame, s.control = s.control[0], s.control[1:]
		return frame, false
	}
	owed := s.done > s.ackSent
	if s.out.queued() > 0 {
		batch := s.out.take(MaxBatchMessages, MaxBatchBytes)
		if owed {
			batch.batch.Ack, s.ackSent = s.done, s.done
		}
		return &batch.frame, false
	}
	if owed && (ackDue || s.done-s.ackSent >= uint64(s.cfg.WindowMessages/4)) {
		s.ackSent = s.done
		return &pb.Frame{Kind: &pb.Frame_Ack{Ack: &pb.Ack{Sequence: s.done}}}, false
	}
	return nil, owed
}

func (s *Session) sendFinal() {
	s.mu.Lock()
	final := s.final
	s.mu.Unlock()
	if final != nil {
		if s.stream.Send(final) != nil {
			return // the stream has ended, and End was called before
		}
	}
	_ = s.stream.CloseSend()
}

// ackSelf takes what the stream has been given for taken by the peer.
func (s *Session) ackSelf() {
	s.mu.Lock()
	sent := s.out.sent
	s.mu.Unlock()
	_ = s.takeAck(sent) // it was sent
}

// mayReceive waits, for a peer without a window, until our own has room; not any
// more when the link has ended.
func (s *Session) mayReceive() {
	for s.cfg.NoAcks {
		s.mu.Lock()
		full := s.received-s.done >= uint64(s.cfg.WindowMessages) || s.inBytes >= int(s.cfg.WindowBytes)
		s.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-s.credit:
		case <-s.ended:
			return
		}
	}
}

// receive is the receiving goroutine.
func (s *Session) receive() {
	for {
		s.mayReceive()
		frame, err := s.stream.Recv()
		if err != nil {
			s.End(streamError("receiving from the peer", err))
			return
		}
		select {
		case <-s.ended:
			continue // only the end of the stream is of interest now
		default:
		}
		if err := s.take(frame); err != nil {
			s.End(err)
		}
	}
}

// take acts on one frame. An error ends the link.
func (s *Session) take(frame *pb.Frame) error {
	switch kind := frame.GetKind().(type) {
	case *pb.Frame_Batch:
		return s.takeBatch(kind.Batch)
	case *pb.Frame_Ack:
		return s.takeAck(kind.Ack.GetSequence())
	case *pb.Frame_Topology:
		networks, err := parseTopology(kind.Topology)
		if err != nil {
			return err
		}
		if s.cfg.OnTopology != nil {
			return s.cfg.OnTopology(networks)
		}
	case *pb.Frame_Drain:
		if s.cfg.OnDrain != nil {
			s.cfg.OnDrain(kind.Drain.GetReason())
		}
	case *pb.Frame_Error:
		return remoteError(kind.Error)
	case *pb.Frame_Hello:
		return errorf(Protocol, "a second hello")
	default:
		s.mu.Lock()
		s.unknown++
		s.mu.Unlock()
	}
	return nil
}

func (s *Session) takeBatch(b *pb.Batch) error {
	n, size := len(b.GetMessages()), 0
	if n == 0 {
		return errorf(Protocol, "a batch without messages")
	}
	if n > MaxBatchMessages {
		return errorf(Protocol, "a batch of %d messages, at most %d are allowed", n, MaxBatchMessages)
	}
	for _, m := range b.Messages {
		size += len(m.GetName()) + len(m.GetData()) + len(m.GetBindEvent().GetName())
	}
	if n > 1 && size > MaxBatchBytes+maxNameBytes {
		return errorf(Protocol, "a batch of %d bytes in %d messages, at most %d are allowed", size, n, MaxBatchBytes)
	}
	s.mu.Lock()
	if want := s.received + 1; b.FirstSequence != want {
		s.mu.Unlock()
		return errorf(Protocol, "a batch starts with sequence number %d, expected was %d", b.FirstSequence, want)
	}
	if underWay := s.received - s.done + uint64(n); underWay > uint64(s.cfg.WindowMessages+answerReserve) ||
		s.inBytes+size > 2*int(s.cfg.WindowBytes)+maxInBytes {
		s.mu.Unlock()
		return errorf(Protocol, "%d messages under way and %d bytes queued, the window has room for %d and %d",
			underWay, s.inBytes+size, s.cfg.WindowMessages, s.cfg.WindowBytes)
	}
	s.received += uint64(n)
	s.inBytes += size
	for _, m := range b.Messages {
		s.in = append(s.in, FromProto(m))
	}
	s.mu.Unlock()
	signal(s.wakeRecv)
	if b.Ack != 0 {
		return s.takeAck(b.Ack)
	}
	return nil
}

const (
	// maxNameBytes is by how much a bind event's second name may exceed a batch.
	maxNameBytes = MaxBatchMessages * 1024
	// maxInBytes is by how much two windows, one of answers, may be exceeded: their
	// last messages, which may be as large as a bus allows.
	maxInBytes = 1 << 20
)

func (s *Session) takeAck(seq uint64) error {
	s.mu.Lock()
	wasFull := s.out.full()
	ok := s.out.ack(seq)
	sent, room := s.out.sent, wasFull && !s.out.full()
	s.mu.Unlock()
	if !ok {
		return errorf(Protocol, "an ack of sequence number %d, only %d were sent", seq, sent)
	}
	if room {
		signal(s.room)
	}
	if s.cfg.OnAck != nil {
		s.cfg.OnAck()
	}
	return nil
}
