package link

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Driver is what a stream is attached to: a session under the lock of its owner. NextFrame
// and Flushed are called by who sends, one at a time: Attach, or who calls SendNow of the
// Waker; TakeFrame and MayReceive by a goroutine that receives, Stuck once a second by
// another. Only MayReceive may wait for somebody.
type Driver interface {
	// NextFrame is Session.Next.
	NextFrame(now time.Time) (f Frame, again time.Time, over bool)
	// Flushed is Session.Flushed.
	Flushed(now time.Time)
	// TakeFrame takes a frame from the peer. An error ends the stream. If it is an *Error
	// of our own, the driver makes it the last frame, which has a second to get out.
	TakeFrame(now time.Time, f Frame) error
	// MayReceive blocks until the next frame may be read, or ctx ends.
	MayReceive(ctx context.Context)
	// Waker is told when NextFrame may have something new. It is always the same.
	Waker() *Waker
	// Stuck reports whether the peer lives, but takes nothing.
	Stuck(now time.Time) bool
}

// Attach carries frames between a driver and a stream until one of them ends it. It
// blocks, and when it returns the stream is closed and nothing is left running. It
// returns nil when the driver had no more frames and all of them were sent; ErrSilent,
// ErrWedged or ErrNoProgress when the peer was given up; an *Error of the peer's, or
// ErrPeerClosed; what the stream failed with; or the cause of ctx.
func Attach(ctx context.Context, stream Stream, d Driver) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := &attachment{ctx: ctx, stream: stream, driver: d, waker: d.Waker(), turn: make(chan struct{}, 1)}
	if _, buffered := stream.(BufferedStream); buffered {
		a.waker.stream.Store(a)
	}
	received := make(chan struct{})
	go func() { defer close(received); cancel(a.receive(ctx, cancel)) }()
	defer a.watch(ctx, cancel)()
	unblock := context.AfterFunc(ctx, stream.Close)

	why := a.send(ctx)
	inOrder := unblock() && errors.Is(why, errOver)
	cancel(why)
	if inOrder { // the last frame gets out, and the peer closes in its turn
		last := time.NewTimer(closeTimeout)
		defer last.Stop()
		select {
		case <-received:
		case <-last.C:
		}
	}
	stream.Close()
	<-received
	a.waker.stream.CompareAndSwap(a, nil)
	a.turn <- struct{}{} // somebody else may be sending still; nobody gets it again
	if inOrder {
		return nil
	}
	return context.Cause(ctx)
}

// errOver ends a stream in order.
var errOver = errors.New("the conversation is over")

type attachment struct {
	ctx    context.Context
	stream Stream
	driver Driver
	waker  *Waker
	frames atomic.Uint64 // received

	turn   chan struct{} // of who asks the driver for frames; holds one while somebody has it
	next   Frame         // was asked for, and is sent before anything else; guarded by turn
	failed error         // of sending; guarded by turn
}

// send sends what there is now, and never waits for more.
func (a *attachment) send(ctx context.Context) error {
	for ctx.Err() == nil {
		a.waker.awake()
		a.turn <- struct{}{}
		over := a.sendFrames(math.MaxInt)
		err := a.failed
		<-a.turn
		switch {
		case err != nil:
			return a.sendFailed(ctx, err)
		case over:
			_ = a.stream.CloseSend()
			return errOver
		}
		select {
		case <-a.waker.now:
		case <-a.waker.timer.C:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// sendNow sends what there is now, in the place of send, but one frame only: the next might
// have to wait. It reports whether nothing is left to send; it returns false at once if
// somebody is sending.
func (a *attachment) sendNow() bool {
	select {
	case a.turn <- struct{}{}:
	default:
		return false
	}
	defer func() { <-a.turn }()
	return !a.sendFrames(1) && a.failed == nil && a.next == nil
}

// sendFrames sends what there is now, but no more than most frames. It reports whether the
// driver has no more. It is called by who has the turn.
func (a *attachment) sendFrames(most int) (over bool) {
	for a.ctx.Err() == nil && a.failed == nil {
		now := time.Now()
		if a.next == nil {
			var again time.Time
			if a.next, again, over = a.driver.NextFrame(now); a.next == nil {
				if !again.IsZero() {
					a.waker.WakeBy(again)
				}
				return over
			}
		}
		if most == 0 {
			return false
		}
		most--
		if a.failed = a.stream.Send(a.next); a.failed == nil {
			a.next = nil
			a.driver.Flushed(now)
		}
	}
	return false
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

// receive gives the driver what comes, until the stream ends.
func (a *attachment) receive(ctx context.Context, cancel context.CancelCauseFunc) error {
	over := false
	for {
		a.driver.MayReceive(ctx)
		f, err := a.stream.Recv()
		if err != nil {
			return streamError("receiving from the peer", err)
		}
		a.frames.Add(1)
		if over || ctx.Err() != nil {
			continue // only the end of the stream is of interest now
		}
		if err := a.driver.TakeFrame(time.Now(), f); err != nil {
			var ours *Error
			if errors.As(err, &ours) && !ours.Remote {
				// The sender sends it as the last frame, unless the peer takes nothing.
				over = true
				defer time.AfterFunc(closeTimeout, func() { cancel(err) }).Stop()
				continue
			}
			return err
		}
	}
}

// watch ends a stream whose peer is silent, wedged or stuck, until it is stopped.
func (a *attachment) watch(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	var mu sync.Mutex // guards what follows
	var timer *time.Timer
	peer := newLife(time.Now(), a.stream.Heard())
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		if err := peer.look(now, a.stream.Heard(), a.frames.Load()); err != nil {
			cancel(err)
		} else if a.driver.Stuck(now) {
			cancel(ErrNoProgress)
		}
		timer.Reset(lookEvery)
	}
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(lookEvery, look)
	return func() {
		mu.Lock() // a look may be under way, and would go on
		defer mu.Unlock()
		timer.Stop()
	}
}

// lookEvery is how often a stream is watched.
const lookEvery = time.Second
