package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// Times of dialling again. The first time there is no delay.
const (
	greetTimeout = 5 * time.Second
	firstDelay   = 20 * time.Millisecond
	lastDelay    = time.Second
)

// The windows that are offered to the daemon.
const (
	windowMessages = 4096
	windowBytes    = 1 << 20
)

// A sessionError is the end of a Ksock whose session with the daemon is over. It wraps
// net.ErrClosed and the reason.
type sessionError struct{ why error }

func (e *sessionError) Error() string {
	return fmt.Sprintf("the session with the daemon is over, and the Ksock with it; what has no result yet may have happened: %v", e.why)
}

func (e *sessionError) Unwrap() []error { return []error{net.ErrClosed, e.why} }

// dial opens a stream and greets the daemon.
func (k *Ksock) dial(ctx context.Context, h *program.Hello) (link.Stream, *program.Welcome, error) {
	s, err := openStream(ctx, k.bus.to, &k.missed)
	if err != nil {
		return nil, nil, fmt.Errorf("dialling the daemon at %s: %w", k.bus.to, err)
	}
	greeting, cancel := context.WithTimeoutCause(ctx, greetTimeout, fmt.Errorf("no welcome within %v", greetTimeout))
	defer cancel()
	w, err := s.greet(greeting, h)
	if err != nil {
		s.Close()
		return nil, nil, fmt.Errorf("attaching to the daemon at %s: %w", k.bus.to, err)
	}
	if k.bus.wrap != nil {
		return k.bus.wrap(s), w, nil
	}
	return s, w, nil
}

// keep serves one stream after the other until the session is over.
func (k *Ksock) keep(ctx context.Context, s link.Stream) {
	for {
		err := link.Attach(ctx, s, k)
		k.mu.Lock()
		k.session.Detach()
		k.mu.Unlock()
		if ctx.Err() != nil || err == nil {
			k.fail(net.ErrClosed)
			return
		}
		if final(err) {
			k.fail(&sessionError{err})
			return
		}
		if s, err = k.resume(ctx, err); err != nil {
			k.fail(&sessionError{err})
			return
		}
	}
}

// final reports whether the session cannot be resumed after err.
func final(err error) bool {
	var verdict *link.Error
	if !errors.As(err, &verdict) {
		return false
	}
	return verdict.Code != link.Stalled && verdict.Code != link.BusFailed
}

// resume dials until the daemon resumes the session, refuses to, or must have given it up;
// broken is why the stream has ended.
func (k *Ksock) resume(ctx context.Context, broken error) (link.Stream, error) {
	patience := k.grace + link.SilentAfter // it may notice later than we do
	giveUp := time.Now().Add(patience)
	wait, next := time.Duration(0), firstDelay
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		s, err := k.attach(ctx)
		if err == nil {
			return s, nil
		}
		switch {
		case ctx.Err() != nil, final(err):
			return nil, err
		case time.Now().After(giveUp):
			return nil, fmt.Errorf("the daemon cannot be reached for %v: %w (the stream ended with: %w)", patience, err, broken)
		}
		wait = next/2 + rand.N(next/2+1)
		next = min(2*next, lastDelay)
	}
}

// attach resumes the session on a new stream.
func (k *Ksock) attach(ctx context.Context) (link.Stream, error) {
	k.mu.Lock()
	h := k.hello
	h.Expected = k.session.Expected()
	k.mu.Unlock()
	s, w, err := k.dial(ctx, &h)
	if err != nil {
		return nil, err
	}
	if w.Session != h.Session {
		s.Close()
		return nil, link.Errorf(link.Protocol, "the daemon answers with another session than the one to be resumed")
	}
	k.mu.Lock()
	err = k.session.Attach(time.Now(), w.Expected)
	k.mu.Unlock()
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}
