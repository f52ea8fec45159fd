package classic_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/classic"
	"github.com/kbus-limpet/limpet/limpet/link"
)

var someMessages = []kbusdev.Message{
	{ID: kbusdev.MsgID{Network: 1, Serial: 7}, From: 3, OrigFrom: kbusdev.Address{Network: 1, Local: 3}, Name: "$.A", Data: []byte("hello")},
	{ID: kbusdev.MsgID{Network: 1, Serial: 8}, InReplyTo: kbusdev.MsgID{Network: 2, Serial: 9}, To: 4, Name: "$.KBUS.RemoteError.99", Flags: 0xabcd0000},
	{Name: kbusdev.NameReplierBindEvent, Flags: kbusdev.Synthetic,
		Event: &kbusdev.BindEvent{Bound: true, Binder: 5, Name: "$.B.*"}},
	{Name: "$.Large", Data: []byte(strings.Repeat("x", 100_001))}, // larger than any buffer
	{Name: "$." + strings.Repeat("n", 998), Flags: kbusdev.WantReply},
}

func someBytes() (all []byte) {
	for i := range someMessages {
		all = classic.AppendMessage(all, &someMessages[i])
	}
	return all
}

const maxData = kbusdev.AbsoluteMaxMessageSize

// heard is a stream whose peer has said hello and then sends bytes, and its end.
func heard(t testing.TB, bytes []byte) *classic.Stream {
	t.Helper()
	here, there := net.Pipe()
	s := classic.NewStream(here, maxData)
	t.Cleanup(func() { s.Close(); _ = there.Close() })
	go func() {
		_, _ = there.Write(append([]byte("HELO\x00\x00\x00\x02"), bytes...))
		_ = there.Close()
	}()
	f, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := f.(*link.Greeting); !ok || g.NetworkID != 2 || g.Check() != nil {
		t.Fatalf("the hello is %#v", f)
	}
	return s
}

// all reads until there is an error.
func all(s *classic.Stream) (msgs []kbusdev.Message, err error) {
	next := uint64(1)
	for {
		f, err := s.Recv()
		if err != nil {
			return msgs, err
		}
		b, ok := f.(*link.Batch)
		if !ok || b.First != next || len(b.Messages) == 0 || len(b.Messages) > link.MaxBatchMessages {
			return msgs, fmt.Errorf("%#v is not what a session takes", f)
		}
		size := 0
		for i := range b.Messages {
			size += b.Messages[i].Size()
		}
		if len(b.Messages) > 1 && size > link.MaxBatchBytes {
			return msgs, fmt.Errorf("a batch of %d bytes", size)
		}
		next += uint64(len(b.Messages))
		msgs = append(msgs, b.Messages...)
	}
}

func TestStreamBothWays(t *testing.T) {
	here, there := net.Pipe()
	s := classic.NewStream(here, maxData)
	defer s.Close()
	got := make(chan []byte)
	go func() { b, _ := io.ReadAll(there); got <- b }()
	for _, f := range []link.Frame{
		&link.Greeting{NetworkID: 0x01020304},
		&link.Batch{First: 1, Messages: someMessages},
		&link.Ack{Sequence: 1}, &link.Ping{}, &link.Topology{}, &link.Interest{}, &link.Table{}, // and what it has no words for
		&link.Drain{}, &link.Error{}, &link.Unknown{},
	} {
		if err := s.Send(f); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if diff := cmp.Diff("HELO\x01\x02\x03\x04"+string(someBytes()), string(<-got)); diff != "" {
		t.Errorf("sent:\n%s", diff)
	}
	msgs, err := all(heard(t, someBytes()))
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if diff := cmp.Diff(someMessages, msgs); diff != "" {
		t.Errorf("received:\n%s", diff)
	}
}

// What is there already comes in one batch.
func TestStreamBatches(t *testing.T) {
	var bytes []byte
	for range 1000 {
		bytes = classic.AppendMessage(bytes, &someMessages[0])
	}
	s := heard(t, bytes)
	f, err := s.Recv()
	if b, ok := f.(*link.Batch); !ok || len(b.Messages) != link.MaxBatchMessages {
		t.Errorf("the first batch is %#v, %v", f, err)
	}
	if msgs, err := all(heard(t, bytes)); len(msgs) != 1000 || !errors.Is(err, io.EOF) {
		t.Errorf("%d messages, %v", len(msgs), err)
	}
}

// Wherever the connection ends, what came whole is there, and what did not is said.
func TestTruncation(t *testing.T) {
	one := classic.AppendMessage(nil, &someMessages[0])
	two := append(one[:len(one):len(one)], classic.AppendMessage(nil, &someMessages[2])...)
	for n := range len(two) {
		msgs, err := all(heard(t, two[:n]))
		wantMsgs := 0
		if n >= len(one) {
			wantMsgs = 1
		}
		wantErr := io.ErrUnexpectedEOF
		if n == 0 || n == len(one) {
			wantErr = io.EOF
		}
		if len(msgs) != wantMsgs || !errors.Is(err, wantErr) {
			t.Fatalf("after %d bytes: %d messages, %v; want %d, %v", n, len(msgs), err, wantMsgs, wantErr)
		}
	}
}

func TestHello(t *testing.T) {
	for _, c := range []struct{ says, want string }{
		{"HELP\x00\x00\x00\x01", `"HELP" for a hello`},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "it speaks gRPC"},
		{"HEL", "in the middle of the hello"},
		{"", "EOF"},
	} {
		here, there := net.Pipe()
		go func() { _, _ = there.Write([]byte(c.says)); _ = there.Close() }()
		_, err := classic.NewStream(here, maxData).Recv()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.says, err, c.want)
		}
		_ = here.Close()
	}
}

// Bytes that are no message end the link with a reason; lengths are judged before
// anything is made for them.
func TestLies(t *testing.T) {
	word := func(at int, v uint32) []byte {
		b := classic.AppendMessage(nil, &someMessages[0])
		binary.BigEndian.PutUint32(b[at:], v)
		return b
	}
	size := len(classic.AppendMessage(nil, &someMessages[0]))
	for _, c := range []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"start guard", word(0, 1), "guards"},
		{"end guard of the header", word(60, 1), "guards"},
		{"no name", word(52, 0), "name has 0 bytes"},
		{"a long name", word(52, 1001), "name has 1001 bytes"},
		{"a very long name", word(52, 1<<32-1), "name has 4294967295 bytes"},
		{"much data", word(56, maxData+1), "data has 409601 bytes"},
		{"very much data", word(56, 1<<32-1), "data has 4294967295 bytes"},
		{"last guard", word(size-4, 1), "ends with the guard"},
		{"a name one byte longer", word(52, 4), "ends with the guard"},
	} {
		good := classic.AppendMessage(nil, &someMessages[0])
		msgs, err := all(heard(t, append(append(good, c.bytes...), good...)))
		var verdict *link.Error
		if !errors.As(err, &verdict) || verdict.Code != link.Protocol || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if len(msgs) != 1 {
			t.Errorf("%s: %d messages before it, want 1", c.name, len(msgs))
		}
	}
}

// A peer may be silent between messages, but not within one; and it must take what
// it is sent.
func TestStalls(t *testing.T) {
	good := classic.AppendMessage(nil, &someMessages[0])
	for _, n := range []int{1, 63, 64, len(good) - 1} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			s := classic.NewStream(here, maxData)
			defer s.Close()
			go func() {
				_, _ = there.Write([]byte("HELO\x00\x00\x00\x02"))
				time.Sleep(time.Hour) //nolint:forbidigo // in a bubble, where it takes no time: silence is what is tried
				_, _ = there.Write(good[:n])
			}()
			if _, err := s.Recv(); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err := s.Recv()
			var verdict *link.Error
			if !errors.As(err, &verdict) || verdict.Code != link.Stalled {
				t.Errorf("after %d bytes: %v", n, err)
			}
			if d := time.Since(start) - time.Hour; d != 30*time.Second {
				t.Errorf("the stall was noticed after %v", d)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		s := classic.NewStream(here, maxData)
		defer s.Close()
		err := s.Send(&link.Greeting{})
		var verdict *link.Error
		if !errors.As(err, &verdict) || verdict.Code != link.Stalled || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a peer that takes nothing: %v", err)
		}
	})
}

// Whatever a peer sends, it is read as messages within bounds or refused, and what
// was read can be written so that it reads the same.
func FuzzStream(f *testing.F) {
	for i := range 3 {
		f.Add(classic.AppendMessage(nil, &someMessages[i]))
	}
	f.Add(classic.AppendMessage(nil, &someMessages[2])[:100])
	f.Add([]byte("HELO\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, bytes []byte) {
		msgs, err := all(heard(t, bytes))
		var verdict *link.Error
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &verdict) {
			t.Errorf("an error without a reason: %v", err)
		}
		for i := range msgs {
			again, err := classic.ParseMessage(classic.AppendMessage(nil, &msgs[i]), maxData)
			if diff := cmp.Diff(msgs[i], again); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		}
	})
}

// A slow peer is not a stalled one: a large message that takes minutes goes through, as
// long as some of it moves.
func TestSlowIsNotStalled(t *testing.T) {
	large := []kbusdev.Message{{Name: "$.Large", Data: []byte(strings.Repeat("x", maxData))}}
	bytes := classic.AppendMessage(nil, &large[0])
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		s := classic.NewStream(here, maxData)
		written := make(chan struct{})
		defer func() { s.Close(); <-written }()
		go func() {
			defer close(written)
			defer there.Close()
			_, _ = there.Write([]byte("HELO\x00\x00\x00\x02"))
			for piece := range slices.Chunk(bytes, 40_000) {
				_, _ = there.Write(piece)
				time.Sleep(20 * time.Second) //nolint:forbidigo // in a bubble, where it takes no time
			}
		}()
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		msgs, err := all(s)
		if diff := cmp.Diff(large, msgs); diff != "" || !errors.Is(err, io.EOF) {
			t.Errorf("received: %.200s, %v", diff, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		s := classic.NewStream(here, maxData)
		var got []byte
		read := make(chan struct{})
		go func() {
			defer close(read)
			piece := make([]byte, 40_000)
			for {
				time.Sleep(20 * time.Second) //nolint:forbidigo // in a bubble, where it takes no time
				n, err := there.Read(piece)
				got = append(got, piece[:n]...)
				if err != nil {
					return
				}
			}
		}()
		if err := s.Send(&link.Batch{First: 1, Messages: large}); err != nil {
			t.Error(err)
		}
		s.Close()
		<-read
		if string(got) != string(bytes) {
			t.Errorf("%d bytes were sent, want %d", len(got), len(bytes))
		}
	})
}
