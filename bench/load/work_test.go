package load

import (
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/bench/measure"
)

// What may be under way fits into every queue: in messages, and in bytes over all
// listeners.
func TestAhead(t *testing.T) {
	for _, w := range []Work{
		{Sizes: []int{0}, Listeners: 1},
		{Sizes: []int{64}, Listeners: 100},
		{Sizes: []int{64 << 10}, Listeners: 1},
		{Sizes: []int{64, 64 << 10}, Listeners: 3},
		{Sizes: []int{400 << 10}, Listeners: 1},
	} {
		n := w.ahead()
		total := 0
		for i := range n {
			total += w.Sizes[i%len(w.Sizes)] + overhead
		}
		if n < 4 || n > aheadMessages || total*w.Listeners > aheadBytes+400<<10 || w.step() > n/2 {
			t.Errorf("%+v: %d ahead, %d bytes, a step of %d", w, n, total*w.Listeners, w.step())
		}
	}
	if w := (Work{Callers: 1}); w.ahead() < 1 || w.step() < 1 {
		t.Errorf("without announcements %d ahead", w.ahead())
	}
}

func TestHeader(t *testing.T) {
	now := time.Now()
	for _, size := range []int{16, 17, 1000} {
		b := make([]byte, size)
		putHeader(b, measuring, now)
		if phase, sent, ok := parseHeader(b); !ok || phase != measuring || !sent.Equal(now) {
			t.Errorf("%d bytes: phase %d, %v, %v", size, phase, sent, ok)
		}
	}
	small := make([]byte, 15)
	putHeader(small, measuring, now)
	if _, _, ok := parseHeader(small); ok {
		t.Error("15 bytes have a header")
	}
}

// A buffer comes again only after all that can be under way, with the size it had.
func TestRing(t *testing.T) {
	sizes := []int{1, 5, 3}
	const ahead = 7
	r := newRing(sizes, ahead)
	last := make(map[*byte]int)
	for i := range 100 {
		b := r.next()
		if len(b) != sizes[i%3] {
			t.Fatalf("message %d has %d bytes", i, len(b))
		}
		if before, ok := last[&b[0]]; ok && i-before < 2*ahead {
			t.Fatalf("the buffer of message %d comes again for %d", before, i)
		}
		last[&b[0]] = i
	}
}

func TestFill(t *testing.T) {
	begin := time.Now()
	sent := &Sent{Announced: 10, Asked: 5, Replied: 4, First: begin, Last: begin.Add(time.Second)}
	heard := &Heard{Count: 28, Last: begin.Add(2 * time.Second)}
	heard.Took.Add(time.Hour)
	sent.Took.Add(time.Millisecond)
	var s measure.Sample
	fill(&s, sent, 30, heard)
	if s.Sent != 35 || s.Arrived != 32 || s.Lost() != 3 || s.Elapsed != 2*time.Second || s.P50 > 2*time.Millisecond {
		t.Errorf("%+v", s)
	}
	fill(&s, &Sent{Announced: 10, First: begin, Last: begin}, 30, heard)
	if s.Sent != 30 || s.P50 < 50*time.Minute {
		t.Errorf("%+v", s)
	}
}
