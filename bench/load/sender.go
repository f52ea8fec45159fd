package load

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/bench/measure"
)

// patience is how long a sender waits for its listeners, a caller for a reply, and a
// listener for the next message, before what is missing counts as lost. It is longer than
// a busy machine holds up a process.
const patience = 20 * time.Second

// A sender is the program that sends and asks.
type sender struct {
	program contest.Program
	credit  creditReader
	calls   []contest.Call
	buffers *ring
	// patience is how long it waits for its listeners.
	patience time.Duration
}

func newSender(p contest.Program, credit *os.File, w *Work) *sender {
	return &sender{program: p, credit: creditReader{file: credit}, buffers: newRing(w.Sizes, w.ahead()), patience: patience}
}

// run does the work until the limit, but at least once, and returns what was sent and replied.
func (s *sender) run(ctx context.Context, w *Work, phase int, limit Limit) (Sent, error) {
	begin := time.Now()
	end := begin.Add(limit.Duration)
	sent := Sent{First: begin, Last: begin}
	var (
		wg   sync.WaitGroup
		errs = make(chan error, 1)
		each = make([]asking, len(s.calls))
	)
	for i, call := range s.calls {
		most := (limit.Messages + i) / len(s.calls) // together they are all
		if limit.Messages > 0 && most == 0 {
			continue
		}
		wg.Go(func() { each[i].run(ctx, call, phase, most, end) })
	}
	if len(w.Sizes) > 0 {
		wg.Go(func() {
			n, err := s.announce(ctx, w, phase, limit.Messages, end)
			sent.Announced = n
			errs <- err
		})
	} else {
		errs <- nil
	}
	wg.Wait()
	for i := range each {
		a := &each[i]
		sent.Asked += a.asked
		sent.Replied += a.replied
		sent.Took.Merge(&a.took)
		if a.last.After(sent.Last) {
			sent.Last = a.last
		}
		if a.err != nil {
			sent.Error = a.err.Error()
		}
	}
	return sent, <-errs
}

// announce sends announcements, as many ahead of the listeners as the work allows. When
// they have heard nothing for a while it goes on, as what is missing must be lost.
func (s *sender) announce(ctx context.Context, w *Work, phase, most int, end time.Time) (n uint64, err error) {
	ahead := w.ahead()
	s.credit.phase, s.credit.heard = phase, 0
	forgiven := uint64(0) // of the first n, those that are not waited for any more
	for most == 0 || n < uint64(most) {
		now := time.Now()
		if n > 0 && !now.Before(end) {
			break
		}
		if n-max(s.credit.heard, forgiven) >= uint64(ahead) {
			if err := s.program.Flush(); err != nil {
				return n, fmt.Errorf("sending: %w", err)
			}
			more, err := s.credit.wait(s.patience)
			if err != nil {
				return n, err
			}
			if !more {
				forgiven = n
			}
			continue
		}
		data := s.buffers.next()
		putHeader(data, phase, now)
		if err := s.program.Send(ctx, announced, data); err != nil {
			return n, fmt.Errorf("sending announcement %d: %w", n, err)
		}
		n++
	}
	if err := s.program.Flush(); err != nil {
		return n, fmt.Errorf("sending: %w", err)
	}
	return n, nil
}

// asking is what one caller does.
type asking struct {
	asked, replied uint64
	last           time.Time
	took           measure.Histogram
	err            error // of the latest request that failed
}

func (a *asking) run(ctx context.Context, call contest.Call, phase, most int, end time.Time) {
	for most == 0 || a.asked < uint64(most) {
		begin := time.Now()
		if a.asked > 0 && !begin.Before(end) {
			return
		}
		data := make([]byte, requestSize)
		putHeader(data, phase, begin)
		a.asked++
		reply, err := call(ctx, data)
		if err == nil && len(reply) != requestSize {
			err = fmt.Errorf("the reply has %d bytes, the request had %d", len(reply), requestSize)
		}
		if err != nil {
			if a.err = err; ctx.Err() != nil {
				return
			}
			continue
		}
		a.last = time.Now()
		a.replied++
		a.took.Add(a.last.Sub(begin))
	}
}
