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

	// stalledAfter is how long nothing may come in the middle of a message, and how long
	// the peer may take nothing of what is written.
	stalledAfter = 30 * time.Second
)

// keepAlive notices a dead TCP peer within 20 s, while nothing is on its way to it.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 3 * time.Second, Count: 3}

// A Stream is a connection to an upstream limpet, as a link.Stream for a session with
// NoAcks. Send writes greetings and batches, a batch at once, and ignores the other
// frames: the old protocol has no words for them. Send and Recv are each called by one
// goroutine at a time; the other methods are safe for concurrent use.
type Stream struct {
	conn    net.Conn
	in      reader
	r       *bufio.Reader // reads from in
	maxData int
	out     []byte
	greeted bool
	failed  error
	next    uint64 // sequence number, which the protocol has not

	life atomic.Uint64
	once sync.Once
}

// A reader reads from a connection. In the middle of a message it waits no longer than
// stalledAfter for some bytes; between messages it waits without end.
type reader struct {
	conn   net.Conn
	middle bool
}

func (r *reader) Read(b []byte) (int, error) {
	var until time.Time
	if r.middle {
		until = time.Now().Add(stalledAfter)
	}
	_ = r.conn.SetReadDeadline(until) // a closed connection says so when it is read
	return r.conn.Read(b)
}

// NewStream takes conn over. maxData bounds the data of a message that the peer
// sends, in bytes; nothing larger is ever allocated for it. On TCP, small writes
// are sent at once, and a dead peer is noticed within 20 s; that goes for the one inside too
// if conn tells it by NetConn.
func NewStream(conn net.Conn, maxData uint32) *Stream {
	inner := conn
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		inner = c.NetConn()
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
		_ = tcp.SetKeepAliveConfig(keepAlive)
		limitUnacked(tcp)
	}
	s := &Stream{conn: conn, in: reader{conn: conn}, maxData: int(maxData)}
	s.r = bufio.NewReaderSize(&s.in, readBuffer)
	return s
}

// Send writes a greeting or a batch, and returns when the connection has taken all of
// it. If the peer takes nothing for 30 s, the error is a *link.Error of code Stalled.
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
	err := s.write(s.out)
	if cap(s.out) > 4*readBuffer {
		s.out = nil // a large message is rare
	}
	return stalled(err, "the peer takes nothing")
}

// write writes b, however long that takes, as long as some of it moves.
func (s *Stream) write(b []byte) error {
	for {
		_ = s.conn.SetWriteDeadline(time.Now().Add(stalledAfter))
		n, err := s.conn.Write(b)
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		b = b[n:]
	}
}

// Heard returns a number that grows by link.AliveBytes each time: an upstream limpet gives
// no sign of life, and TCP finds out whether it is gone.
func (s *Stream) Heard() uint64 { return s.life.Add(link.AliveBytes) }

func stalled(err error, what string) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &link.Error{Code: link.Stalled, Message: fmt.Sprintf("%s for %v", what, stalledAfter)}
	}
	return err
}

// Recv returns the peer's greeting, then its messages; a batch holds those that are
// there already. If the connection ends between two messages, the error is io.EOF; in
// the middle of one it wraps io.ErrUnexpectedEOF. It is a *link.Error of code Protocol
// for bytes that are no message, and of code Stalled when nothing comes for 30 s in the
// middle of a message. The messages' data is the caller's.
func (s *Stream) Recv() (link.Frame, error) {
	if !s.greeted {
		s.greeted = true
		return s.hear()
	}
	if s.failed != nil {
		return nil, s.failed
	}
	s.in.middle = false
	if _, err := s.r.Peek(1); err != nil {
		return nil, err
	}
	s.in.middle = true
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

// read reads one message. It waits for the first of a batch. Another one is read only
// if all of it is there already and it has at most room bytes: ok reports that.
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

// await returns the next n bytes. If they fit into the buffer they are still in it, and
// the caller discards them; else they are the caller's.
func (s *Stream) await(n int) ([]byte, error) {
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

// hear reads the peer's hello. What a greeting has besides is made up: an instance id at
// random, and windows without bound.
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

// CloseSend ends what is sent: the peer reads all of it, and then the end.
func (s *Stream) CloseSend() error {
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection and unblocks Send and Recv. It may be called again.
func (s *Stream) Close() { s.once.Do(func() { _ = s.conn.Close() }) }
