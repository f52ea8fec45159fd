package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// However many ask, one question is put at a time; who cannot wait for its answer gets the
// error of its context, and who asks after the answer has come has a new one put.
func TestProber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		questions := 0
		answers := make(chan error)
		p := prober{question: func() error { questions++; return <-answers }}
		short, cancel := context.WithCancel(t.Context())
		results := make(chan error)
		for _, ctx := range []context.Context{t.Context(), t.Context(), short} {
			go func() { results <- p.ask(ctx) }()
		}
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("who cannot wait gets %v", err)
		}
		broken := errors.New("broken")
		answers <- broken
		for range 2 {
			if err := <-results; !errors.Is(err, broken) {
				t.Errorf("who waits gets %v", err)
			}
		}
		if questions != 1 {
			t.Errorf("%d questions were put", questions)
		}
		go func() { answers <- nil }()
		if err := p.ask(t.Context()); err != nil || questions != 2 {
			t.Errorf("the next gets %v after %d questions", err, questions)
		}
	})
}
