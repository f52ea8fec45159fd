package classic

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

const (
	hello     = "HELO"
	helloSize = len(hello) + 4

	readBuffer = 64 << 10

	// stalledAfter is how long a message may take from its first byte to its last, and
	// a write until the peer takes it.
	stalledAfter = 30 * time.Second
)

// keepAlive notices a dead TCP peer within 20 s, while nothing is on its way to it.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 3 * time.Second, Count: 3}

// A Stream makes a connection to an upstream limpet into a stream of frames, for a
// session that is told NoAcks. Of the frames it is given, hellos and batches go to
// the peer, a batch in one write; the rest have no words in the old protocol. Send
// and Recv are each for one goroutine at a time; Close may come from any.
type Stream struct {
	conn    net.Conn
	r       *bufio.Reader
	maxData int
	out     []byte
	greeted bool
	failed  error
	next    uint64 // sequence number, which the protocol has not

	life atomic.Uint64
	once sync.Once
}

// NewStream takes conn over. maxData bounds the data of a message that the peer
// sends, in bytes; nothing larger is ever allocated for it. On TCP, small writes
// are sent at once, and a peer that is dead is noticed.
func NewStream(conn net.Conn, maxData uint32) *Stream {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
		_ = tcp.SetKeepAliveConfig(keepAlive)
		limitUnacked(tcp)
	}
	return &Stream{conn: conn, r: bufio.NewReaderSize(conn, readBuffer), maxData: int(maxData)}
}

// Send writes a greeting or a batch. A peer that takes none of it for 30 s has the
// link ended: link.Stalled.
func (s *Stream) Send(f link.Frame) error {
	s.out = s.out[:0]
	switch f := f.(type) {
	case *link.Greeting:
		s.out = wire.AppendUint32(append(s.out, hello...), f.NetworkID)
	case *link.Batch:
		for i := range f.Messages {
			s.out = AppendMessage(s.out, &f.Messages[i])
		}
	default:
		return nil
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(stalledAfter))
	_, err := s.conn.Write(s.out)
	if cap(s.out) > 4*readBuffer {
		s.out = nil // a large message is rare
	}
	return stalled(err, "the peer takes nothing")
}

// Heard returns a new number each time: an upstream limpet gives no sign of life, and
// TCP finds out whether it is gone.
func (s *Stream) Heard() uint64 { return s.life.Add(1) }

func stalled(err error, what string) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &link.Error{Code: link.Stalled, Message: fmt.Sprintf("%s for %v", what, stalledAfter)}
	}
	return err
}

// Recv returns the peer's greeting, then its messages, those in a batch that are there
// already. The end of the connection between two messages is io.EOF. Bytes that
// are no message are a *link.Error with link.Protocol, a message that stops in the
// middle for 30 s one with link.Stalled.
func (s *Stream) Recv() (link.Frame, error) {
	if !s.greeted {
		s.greeted = true
		return s.hear()
	}
	if s.failed != nil {
		return nil, s.failed
	}
	_ = s.conn.SetReadDeadline(time.Time{}) // a closed connection says so when it is read
	if _, err := s.r.Peek(1); err != nil {  // however long that takes
		return nil, err
	}
	batch := &link.Batch{First: s.next + 1}
	for size := 0; len(batch.Messages) < link.MaxBatchMessages; {
		m, ok, err := s.read(len(batch.Messages) == 0, link.MaxBatchBytes-size)
		if err != nil && len(batch.Messages) == 0 {
			return nil, err
		}
		if !ok {
			s.failed = err // after what came before it
			break
		}
		size += m.Size()
		batch.Messages = append(batch.Messages, m)
	}
	s.next += uint64(len(batch.Messages))
	return batch, nil
}

// read reads one message. The first of a batch is waited for; of the others only
// one that is there already, and has no more than room bytes, is taken: else not ok.
func (s *Stream) read(first bool, room int) (m kbusdev.Message, ok bool, err error) {
	if !first && s.r.Buffered() < headerSize {
		return m, false, nil
	}
	b, err := s.await(headerSize)
	if err != nil {
		return m, false, err
	}
	h, err := parseHeader(b, s.maxData)
	if err != nil {
		return m, false, err
	}
	if !first && (h.nameLen()+h.dataLen() > room || s.r.Buffered() < headerSize+h.rest()) {
		return m, false, nil
	}
	_, _ = s.r.Discard(headerSize)
	if b, err = s.await(h.rest()); err != nil {
		return m, false, err
	}
	large := h.rest() > readBuffer
	if m, err = h.message(b, large); err != nil {
		return m, false, err
	}
	if !large {
		_, _ = s.r.Discard(h.rest())
	}
	return m, true, nil
}

// await gives the next n bytes: those in the buffer, still to be discarded, or if
// they are too many for it, taken out of it.
func (s *Stream) await(n int) ([]byte, error) {
	if s.r.Buffered() < n {
		_ = s.conn.SetReadDeadline(time.Now().Add(stalledAfter))
	}
	var b []byte
	var err error
	if n <= readBuffer {
		b, err = s.r.Peek(n)
	} else {
		b = make([]byte, n)
		_, err = io.ReadFull(s.r, b)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("the connection ended in the middle of a message: %w", io.ErrUnexpectedEOF)
	}
	return b, stalled(err, "the rest of a message does not come")
}

// hear reads the peer's hello. What it does not say is made up: an instance of its own,
// and windows that the session does not use.
func (s *Stream) hear() (link.Frame, error) {
	var b [helloSize]byte
	if n, err := io.ReadFull(s.r, b[:]); err != nil {
		if n > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the connection ended in the middle of the hello: %w", err)
		}
		return nil, err
	}
	if got := string(b[:len(hello)]); got != hello {
		hint := ""
		if got == "PRI " {
			hint = "; it speaks gRPC, so --listen and --connect are for it"
		}
		return nil, protocolError("the peer says %q for a hello, not %q%s", got, hello, hint)
	}
	g := &link.Greeting{
		Version:        link.ProtocolVersion,
		NetworkID:      wire.Uint32(b[len(hello):]),
		Pattern:        "$.*",
		MaxMessageSize: uint32(s.maxData),
		WindowMessages: 1<<32 - 1,
		WindowBytes:    1<<63 - 1,
		Expected:       1,
	}
	_, _ = rand.Read(g.Instance[:]) // never fails
	return g, nil
}

// CloseSend lets the peer read what was sent, and then the end.
func (s *Stream) CloseSend() error {
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection.
func (s *Stream) Close() { s.once.Do(func() { _ = s.conn.Close() }) }
