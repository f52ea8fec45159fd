package link

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// numbered returns a batch of n messages of size bytes each.
func numbered(first uint64, n, size int) *Batch {
	b := &Batch{First: first}
	for range n {
		b.Messages = append(b.Messages, kbusdev.Message{Name: strings.Repeat("x", size)})
	}
	return b
}

func wantProtocol(t *testing.T, err error, words string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != Protocol || e.Remote || !strings.Contains(e.Message, words) {
		t.Errorf("%v, want a protocol error about %q", err, words)
	}
}

func TestInboxTakesBatches(t *testing.T) {
	x := &inboxOfLink{size: (*kbusdev.Message).Size, windowMessages: 8, windowBytes: 1000}
	for _, b := range []*Batch{numbered(1, 1, 3), numbered(2, MaxBatchMessages, 1), numbered(258, 2, 0)} {
		if err := x.add(b); err != nil {
			t.Fatal(err)
		}
	}
	if x.received != 259 || x.bytes != 3+256 || x.waiting != 259 {
		t.Errorf("%+v", x)
	}
	for _, c := range []struct {
		most  int
		first uint64
		n     int
	}{{2, 1, 1}, {0, 2, 0}, {2, 2, 2}, {100, 4, 100}, {1000, 104, 154}, {1000, 258, 2}, {1000, 260, 0}} {
		if first, msgs := x.take(c.most); first != c.first || len(msgs) != c.n {
			t.Errorf("took %d from %d on, want %d from %d on", len(msgs), first, c.n, c.first)
		}
	}
}

// What breaks the protocol is refused, and changes nothing.
func TestInboxRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		batch *Batch
		words string
	}{
		{"no message", numbered(4, 0, 0), "a batch of 0 messages"},
		{"too many messages", numbered(4, MaxBatchMessages+1, 0), "a batch of 257 messages, 1 to 256"},
		{"a gap", numbered(5, 1, 1), "sequence number 5, expected was 4"},
		{"a duplicate", numbered(3, 1, 1), "sequence number 3, expected was 4"},
		{"the beginning again", numbered(1, 3, 1), "sequence number 1, expected was 4"},
		{"number 0", numbered(0, 1, 1), "sequence number 0"},
		{"the last number", numbered(1<<64-1, 1, 1), "sequence number 18446744073709551615"},
		{"more bytes than all lanes take", numbered(4, 1, 3*(1000+1<<20)+1), "the window has room for 8 and 1000"},
	} {
		x := &inboxOfLink{size: (*kbusdev.Message).Size, windowMessages: 8, windowBytes: 1000}
		if err := x.add(numbered(1, 3, 0)); err != nil {
			t.Fatal(err)
		}
		wantProtocol(t, x.add(c.batch), c.words)
		if x.received != 3 || x.waiting != 3 || x.bytes != 0 {
			t.Errorf("%s: a refused batch has left %+v", c.name, x)
		}
		if err := x.add(numbered(4, 1, 1)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A peer that sends without regard of the window is refused, however small its messages
// are, also when they have been taken and only their fate is open.
func TestInboxIsBounded(t *testing.T) {
	for _, size := range []int{0, 1, 100, 1 << 20} {
		for _, taken := range []bool{false, true} {
			x := &inboxOfLink{size: (*kbusdev.Message).Size, windowMessages: 8, windowBytes: 1000}
			var err error
			for err == nil {
				if err = x.add(numbered(x.received+1, 1, size)); taken {
					x.take(1)
				}
			}
			wantProtocol(t, err, "in flight, the window has room for 8 and 1000")
			if want := min(8+32768+512, 3*(1000+1<<20)/max(size, 1)); int(x.received) != want {
				t.Errorf("%d messages of %d bytes were taken in, want %d", x.received, size, want)
			}
			x.decided(1, size) // one is decided, so one has room
			if err := x.add(numbered(x.received+1, 1, size)); err != nil {
				t.Error(err)
			}
		}
	}
	x := &inboxOfLink{size: (*kbusdev.Message).Size, windowMessages: 8, windowBytes: int(^uint(0) >> 1)} // what is said to be no bound
	if err := x.add(numbered(1, 1, 1)); err != nil {
		t.Error(err)
	}
}

// Fates are decided in any order; what is done is always a beginning, and nothing is
// left at the end.
func TestFatesInAnyOrder(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		x := &inboxOfLink{size: (*kbusdev.Message).Size, windowMessages: 1000, windowBytes: 1 << 20}
		var open []uint64
		decided := make([]bool, 1002)
		for x.done < 1000 {
			if len(open) == 0 || x.received < 1000 && rnd.IntN(2) == 0 {
				n := int(min(1000-x.received, 1+rnd.Uint64N(5)))
				if err := x.add(numbered(x.received+1, n, 3)); err != nil {
					t.Fatal(err)
				}
				first, msgs := x.take(n)
				for i := range msgs {
					open = append(open, first+uint64(i))
				}
				continue
			}
			i := rnd.IntN(len(open))
			seq := open[i]
			open = slices.Delete(open, i, i+1)
			x.decided(seq, 3)
			decided[seq] = true
			done := uint64(slices.Index(decided[1:], false))
			if x.done != done || x.bytes != 3*len(open) {
				t.Fatalf("seed %d: after %d: %d are done and %d bytes open, want %d and %d", seed, seq, x.done, x.bytes, done, 3*len(open))
			}
		}
		if x.early != nil || x.waiting != 0 { // a map keeps its memory until it is dropped
			t.Errorf("seed %d: %d fates and %d messages are left", seed, len(x.early), x.waiting)
		}
	}
}

func TestInboxFull(t *testing.T) {
	x := &inboxOfLink{size: (*kbusdev.Message).Size, windowMessages: 3, windowBytes: 10}
	full := func(want bool) {
		t.Helper()
		if x.full() != want {
			t.Errorf("with %d messages and %d bytes: full is %v", x.received-x.done, x.bytes, !want)
		}
	}
	full(false)
	x.add(numbered(1, 2, 3))
	full(false)
	x.add(numbered(3, 1, 0))
	full(true)
	x.decided(2, 3)
	full(true) // the first one is still open
	x.decided(1, 3)
	full(false)
	x.add(numbered(4, 1, 10))
	full(true)
}

// Messages that wait cost the same whether there are few or many: they are not moved.
func BenchmarkInboxNearlyFull(b *testing.B) {
	x := &inboxOfLink{size: (*kbusdev.Message).Size, windowMessages: 1 << 14, windowBytes: 1 << 30}
	for x.received < 1<<14 {
		x.add(numbered(x.received+1, 1, 16))
	}
	batch := numbered(0, 1, 16)
	b.ReportAllocs()
	for b.Loop() {
		first, _ := x.take(1)
		x.decided(first, 16)
		batch.First = x.received + 1
		if err := x.add(batch); err != nil {
			b.Fatal(err)
		}
	}
}
