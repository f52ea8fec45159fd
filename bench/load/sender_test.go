package load

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/bench/contest"
)

// A fake is a program whose announcements only Flush sends, and which loses some.
type fake struct {
	contest.Program
	w        *creditWriter
	buffered uint64
	unheard  uint64 // sent and neither heard nor lost
	most     uint64 // of what was unheard
	heard    uint64
	lose     bool
}

func (f *fake) Send(context.Context, string, []byte) error {
	f.buffered++
	f.unheard++
	f.most = max(f.most, f.unheard)
	return nil
}

func (f *fake) Flush() error {
	if !f.lose {
		f.heard += f.buffered
		f.w.tell(measuring, f.heard)
	}
	f.buffered, f.unheard = 0, 0
	return nil
}

func TestSenderKeepsWithinBounds(t *testing.T) {
	for _, lose := range []bool{false, true} {
		r, w := newPipe(t)
		f := &fake{w: w, lose: lose}
		job := &Work{Sizes: []int{16}, Listeners: 1}
		s := newSender(f, r.file, job)
		if lose {
			s.patience = time.Millisecond
		}
		n := 3*job.ahead() + 5
		sent, err := s.run(t.Context(), job, measuring, Limit{Duration: time.Hour, Messages: n})
		if err != nil || sent.Announced != uint64(n) || f.most != uint64(job.ahead()) || f.buffered != 0 {
			t.Errorf("lose %v: %d of %d sent, %v; %d at once, %d are allowed; %d never left", lose, sent.Announced, n, err, f.most, job.ahead(), f.buffered)
		}
	}
}

// Each caller makes as many requests as it may, and what fails is counted and told.
func TestCallers(t *testing.T) {
	var made atomic.Int64
	call := func(_ context.Context, data []byte) ([]byte, error) {
		switch made.Add(1) {
		case 3:
			return nil, errors.New("no")
		case 5:
			return data[1:], nil
		}
		return data, nil
	}
	s := &sender{calls: []contest.Call{call, call}}
	sent, err := s.run(t.Context(), &Work{Callers: 2}, measuring, Limit{Duration: time.Hour, Messages: 20})
	if err != nil || sent.Asked != 20 || sent.Replied != 18 || sent.Took.Total() != 18 || sent.Error == "" || sent.Last.Before(sent.First) {
		t.Errorf("%d asked, %d replied, %q, %v", sent.Asked, sent.Replied, sent.Error, err)
	}
}

func TestCallersShareTheLimit(t *testing.T) {
	echo := func(_ context.Context, data []byte) ([]byte, error) { return data, nil }
	for messages := 1; messages < 10; messages++ {
		s := &sender{calls: []contest.Call{echo, echo, echo, echo}}
		limit := Limit{Duration: time.Hour, Messages: messages}
		if sent, err := s.run(t.Context(), &Work{Callers: 4}, measuring, limit); err != nil || sent.Asked != uint64(messages) {
			t.Errorf("%d asked, want %d, %v", sent.Asked, messages, err)
		}
	}
}

// However short the time is, and however long the first message takes, something is sent.
func TestDurationEndsTheWork(t *testing.T) {
	echo := func(_ context.Context, data []byte) ([]byte, error) { return data, nil }
	job := &Work{Sizes: []int{16}, Listeners: 1, Callers: 1}
	for _, limit := range []Limit{{}, {Duration: 20 * time.Millisecond}} {
		r, w := newPipe(t)
		s := newSender(&fake{w: w}, r.file, job)
		s.calls = []contest.Call{echo}
		sent, err := s.run(t.Context(), job, measuring, limit)
		if err != nil || sent.Announced == 0 || sent.Replied == 0 {
			t.Errorf("%d sent, %d replied, %v", sent.Announced, sent.Replied, err)
		}
		if limit.Duration == 0 && sent.Announced+sent.Replied != 2 {
			t.Errorf("in no time %d were sent and %d replied", sent.Announced, sent.Replied)
		}
	}
}
