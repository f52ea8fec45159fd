package link

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Driver is who a stream is attached to: a session under the lock of its owner.
// NextFrame and Flushed are called by the sending goroutine of Attach, TakeFrame and
// MayReceive by the receiving one, Stuck by a third. None may block for long.
type Driver interface {
	// NextFrame is Session.Next.
	NextFrame(now time.Time) (f Frame, again time.Time, over bool)
	// Flushed is Session.Flushed.
	Flushed(now time.Time)
	// TakeFrame takes a frame from the peer. An error ends the stream; if it is an
	// *Error of our own, the driver makes it the last frame.
	TakeFrame(now time.Time, f Frame) error
	// MayReceive blocks until the next frame may be read, or ctx ends.
	MayReceive(ctx context.Context)
	// Wake is signalled when NextFrame may have something new.
	Wake() <-chan struct{}
	// Stuck reports whether the peer lives, but takes nothing.
	Stuck(now time.Time) bool
}

// Attach carries frames between a driver and a stream, until the stream fails, the
// driver has no more frames, the peer is silent or stuck, or ctx ends, and returns
// why: nil if the driver ended it, else an error that is never nil. The stream is
// closed then, and nothing is left running.
func Attach(ctx context.Context, stream Stream, d Driver) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := &attachment{stream: stream, driver: d}
	var all sync.WaitGroup
	sent, received := make(chan struct{}), make(chan struct{})
	all.Go(func() { defer close(sent); cancel(a.send(ctx)) })
	all.Go(func() { defer close(received); cancel(a.receive(ctx)) })
	all.Go(func() { a.watch(ctx, cancel) })

	<-ctx.Done()
	why := context.Cause(ctx)
	if errors.Is(why, errOver) {
		// Let the last frame out, and the peer close in its turn.
		last := time.NewTimer(closeTimeout)
		defer last.Stop()
		for _, c := range []chan struct{}{sent, received} {
			select {
			case <-c:
			case <-last.C:
				stream.Close()
			}
		}
		why = nil
	}
	stream.Close()
	all.Wait()
	return why
}

// errOver ends a stream in order.
var errOver = errors.New("the conversation is over")

type attachment struct {
	stream Stream
	driver Driver
}

// send sends what there is now, and never waits for more.
func (a *attachment) send(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		frame, again, over := a.driver.NextFrame(now)
		if over {
			_ = a.stream.CloseSend()
			return errOver
		}
		if frame != nil {
			if err := a.stream.Send(frame); err != nil {
				return a.sendFailed(ctx, err)
			}
			a.driver.Flushed(now)
			continue
		}
		wait := time.Hour
		if !again.IsZero() {
			wait = max(again.Sub(now), 0)
		}
		timer.Reset(wait)
		select {
		case <-a.driver.Wake():
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// sendFailed leaves it to the receiver to say why: gRPC tells a sender no more than
// that the stream has ended.
func (a *attachment) sendFailed(ctx context.Context, err error) error {
	wait := time.NewTimer(closeTimeout)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-wait.C:
		return streamError("sending to the peer", err)
	}
}

func (a *attachment) receive(ctx context.Context) error {
	for {
		a.driver.MayReceive(ctx)
		f, err := a.stream.Recv()
		if err != nil {
			return streamError("receiving from the peer", err)
		}
		if ctx.Err() != nil {
			continue // only the end of the stream is of interest now
		}
		if err := a.driver.TakeFrame(time.Now(), f); err != nil {
			var ours *Error
			if errors.As(err, &ours) && !ours.Remote {
				continue // the driver says it as the last frame, and the sender ends
			}
			return err
		}
	}
}

// watch ends a stream whose peer is silent or stuck.
func (a *attachment) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	heard, at := a.stream.Heard(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			if h := a.stream.Heard(); h != heard {
				heard, at = h, now
			}
			switch {
			case now.Sub(at) >= SilentAfter:
				cancel(ErrSilent)
			case a.driver.Stuck(now):
				cancel(ErrNoProgress)
			}
		}
	}
}
