package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// A Ksock is a Ksock of a daemon's bus, over one stream. It is a kbusdev.Ksock with all
// that this promises: nothing is taken from its queue on the bus that Recv, RecvBatch or
// Prefetch has not asked for.
//
// When the stream breaks, the Ksock dials again by itself and resumes its session: what is
// bound, queued and owed stays, and every operation is carried out once and in order. Calls
// wait meanwhile. If the daemon was restarted, or cannot be reached for longer than its
// grace, the Ksock is over: every call fails with an error that wraps net.ErrClosed and says
// why, and what had no result by then may have happened.
type Ksock struct {
	bus   *Bus
	mode  kbusdev.Mode
	id    kbusdev.KsockID
	grace time.Duration

	missed atomic.Uint64

	mu      sync.Mutex // guards all up to done
	session *program.Session
	hello   program.Hello
	lastTag uint64
	calls   map[uint64]chan<- *program.Result
	closed  bool
	over    error // why every call fails; nil as long as the Ksock lives
	inbox   inbox
	refused refusals

	done     chan struct{} // closed when over is set
	stop     context.CancelFunc
	finished chan struct{} // closed when nothing runs any more

	waker *link.Waker   // there may be something for the stream
	room  chan struct{} // the window may have room
}

// Ksock opens a Ksock on the bus, and returns when the daemon has made it, or ctx ends. It
// has a connection of its own, which outlives Close of b. It must be closed.
func (b *Bus) Ksock(ctx context.Context, mode kbusdev.Mode) (*Ksock, error) {
	k := &Ksock{
		bus: b, mode: mode,
		calls: make(map[uint64]chan<- *program.Result), inbox: newInbox(),
		done: make(chan struct{}), finished: make(chan struct{}),
		waker: link.NewWaker(), room: make(chan struct{}, 1),
		hello: program.Hello{
			Version: program.ProtocolVersion, Mode: mode, Expected: 1, WindowMessages: windowMessages, WindowBytes: windowBytes,
		},
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	k.stop = stop
	unless := context.AfterFunc(ctx, stop) // until there is a stream
	s, w, err := k.dial(life, &k.hello)
	if err == nil && !unless() {
		s.Close()
		err = ctx.Err()
	}
	if err != nil {
		stop()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &kbusdev.OpError{Op: "open", Name: b.to.String(), Err: err}
	}
	k.hello.Session, k.hello.Instance = w.Session, w.Instance
	k.id, k.grace = w.Ksock, time.Duration(min(w.GraceMs, 1<<40))*time.Millisecond
	k.session = program.NewSession(program.SessionConfig(&k.hello, w))
	if err := k.session.Attach(time.Now(), w.Expected); err != nil {
		s.Close()
		stop()
		return nil, &kbusdev.OpError{Op: "open", Name: b.to.String(), Err: err}
	}
	go func() {
		defer close(k.finished)
		k.keep(life, s)
	}()
	return k, nil
}

// ID returns the Ksock's id on its bus.
func (k *Ksock) ID() kbusdev.KsockID { return k.id }

// String gives the daemon's address and the id.
func (k *Ksock) String() string { return fmt.Sprintf("%s ksock %d", k.bus.to, k.id) }

// Missed returns how many messages the bus had dropped, because this Ksock's queue was full,
// when the daemon sent the last ones. Of a device it is always 0, for that does not tell.
func (k *Ksock) Missed() uint64 { return k.missed.Load() }

// closeTimeout bounds the wait for the daemon to close the Ksock.
const closeTimeout = 2 * time.Second

// Close has the daemon close the Ksock, and waits for that, but not longer than 2 s: a
// daemon that cannot be reached closes it when its grace is over. What was posted before is
// sent first. Every other call that waits is unblocked.
func (k *Ksock) Close() error {
	answer := make(chan *program.Result, 1)
	k.mu.Lock()
	closed, over := k.closed, k.over
	k.closed = true
	if !closed && over == nil {
		k.end(net.ErrClosed)
		k.put(&program.Operation{Action: program.Close}, link.Answers, answer)
	}
	k.unlock(true)
	if closed {
		return &kbusdev.OpError{Op: "close", Err: net.ErrClosed}
	}
	timeout := time.AfterFunc(closeTimeout, k.stop)
	defer timeout.Stop()
	select {
	case <-answer:
	case <-k.finished: // the session is over
	}
	// End the stream in order.
	k.mu.Lock()
	k.session.End(nil)
	k.mu.Unlock()
	k.waker.Wake()
	<-k.finished
	k.stop()
	if over != nil {
		return &kbusdev.OpError{Op: "close", Err: over}
	}
	return nil
}

// fail makes every call fail from now on.
func (k *Ksock) fail(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.end(why)
}

// end is fail under mu.
func (k *Ksock) end(why error) {
	if k.over == nil {
		k.over = why
		close(k.done)
	}
}

// whyOver returns why every call fails; nil as long as the Ksock lives.
func (k *Ksock) whyOver() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over
}

// put queues an operation. Its result, if answer is not nil, is sent there, which must not
// block. It is called under mu, before unlock, and returns the operation's tag.
func (k *Ksock) put(op *program.Operation, lane link.Lane, answer chan<- *program.Result) uint64 {
	if answer != nil {
		k.lastTag++
		op.Tag = k.lastTag
		k.calls[op.Tag] = answer
	}
	k.session.Put(time.Time{}, lane, &link.OutgoingOf[program.Operation]{Msg: *op}) // nothing is withdrawn by age
	return op.Tag
}

// unlock gives mu back, and has what was put sent: now, by this goroutine, if it is little.
func (k *Ksock) unlock(now bool) {
	due, light := k.session.Due(), now && k.session.Light()
	k.mu.Unlock()
	k.waker.Rouse(due, light)
}

// enqueue waits until the window has room, and queues an operation as put does. The error is
// that of ctx, or why the Ksock is over.
func (k *Ksock) enqueue(ctx context.Context, op *program.Operation, answer chan<- *program.Result) (tag uint64, err error) {
	for {
		k.mu.Lock()
		if k.over != nil {
			defer k.mu.Unlock()
			return 0, k.over
		}
		if k.session.Room(link.Normal) {
			tag = k.put(op, link.Normal, answer)
			more := k.session.Room(link.Normal)
			k.unlock(answer != nil) // what is posted goes in larger batches
			if more {
				signal(k.room) // for others that wait
			}
			return tag, nil
		}
		k.mu.Unlock()
		select {
		case <-k.room:
		case <-k.done:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// call has an operation carried out, and returns what came of it. The error is only why the
// Ksock is over.
func (k *Ksock) call(op *program.Operation) (*program.Result, error) {
	answer := make(chan *program.Result, 1)
	if _, err := k.enqueue(context.Background(), op, answer); err != nil {
		return nil, err
	}
	select {
	case r := <-answer:
		return r, nil
	case <-k.done:
	}
	select { // it may have come just before
	case r := <-answer:
		return r, nil
	default:
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return nil, k.over
}

// do is call with the bus's refusal as an error: op is what it is called then.
func (k *Ksock) do(name string, op *program.Operation) (*program.Result, error) {
	r, err := k.call(op)
	return outcome(name, op, r, err)
}

// outcome returns a result that is not nil, and the bus's refusal, or err, as an
// *kbusdev.OpError.
func outcome(what string, op *program.Operation, r *program.Result, err error) (*program.Result, error) {
	if err == nil {
		if err = r.Err(); err != nil && r.Op != "" {
			what = r.Op
		}
	}
	if err != nil {
		if r == nil {
			r = new(program.Result)
		}
		return r, &kbusdev.OpError{Op: what, Name: op.Msg.Name, Err: err}
	}
	return r, nil
}

// NextFrame is link.Driver's.
func (k *Ksock) NextFrame(now time.Time) (link.Frame, time.Time, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.session.Next(now)
}

// Flushed is link.Driver's.
func (k *Ksock) Flushed(time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.session.Flushed()
}

// TakeFrame is link.Driver's.
func (k *Ksock) TakeFrame(now time.Time, f link.Frame) error {
	if e, ok := f.(*link.Error); ok {
		return e
	}
	k.mu.Lock()
	err := k.session.Receive(now, f)
	if err == nil {
		k.takeEvents(now)
		if b, ok := f.(*program.EventBatch); ok {
			b.Taken = true
		}
	} else { // the daemon is told, and the session is over
		var verdict *link.Error
		errors.As(err, &verdict)
		k.session.End(verdict)
		k.end(&sessionError{err})
	}
	room := k.session.Room(link.Normal)
	k.unlock(false)
	if room {
		signal(k.room)
	}
	return err
}

// takeEvents takes what the daemon has sent. It is called under mu.
func (k *Ksock) takeEvents(now time.Time) {
	for k.session.Waiting() > 0 {
		first, events := k.session.Take(k.session.Waiting())
		k.inbox.arrived = slices.Grow(k.inbox.arrived, len(events))
		for i := range events {
			sequence := first + uint64(i)
			if e := &events[i]; e.Result != nil {
				k.takeResult(now, e, sequence)
			} else {
				k.inbox.add(&e.Msg, sequence, len(events)-1-i)
			}
		}
	}
	if len(k.inbox.arrived) > 0 {
		signal(k.inbox.news)
	}
}

func (k *Ksock) takeResult(now time.Time, e *program.Event, sequence uint64) {
	r := e.Result
	k.session.Decided(now, sequence, e.Size())
	switch answer := k.calls[r.Tag]; {
	case k.inbox.asked != nil && k.inbox.asked.tag == r.Tag:
		k.inbox.answered(r)
	case answer != nil:
		delete(k.calls, r.Tag)
		answer <- r
	case r.Tag == 0 && r.Op == "recv":
		k.inbox.fail(r)
	case r.Tag == 0:
		k.refused.add(&kbusdev.OpError{Op: r.Op, Name: r.Name, Err: r.Err()})
	}
}

// MayReceive is link.Driver's: the daemon keeps the window.
func (k *Ksock) MayReceive(context.Context) {}

// Waker is link.Driver's.
func (k *Ksock) Waker() *link.Waker { return k.waker }

// Stuck is link.Driver's: an operation may wait for as long as it likes.
func (k *Ksock) Stuck(time.Time) bool { return false }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
