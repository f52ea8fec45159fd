package client

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// A Caller makes requests over one stream, as many at a time as its callers like. It is safe
// for concurrent use, and must be closed.
//
// All its requests come from one Ksock, which is opened by the first of them, resumes its
// session when the stream breaks, and is followed by another when the daemon has been
// restarted. A request with ALL_OR_WAIT that waits for room holds up those behind it, as it
// does on any Ksock.
type Caller struct {
	bus *Bus

	turn   chan struct{} // of who opens and closes; holds one while nobody has it
	calls  *calls        // of the last Ksock; guarded by turn
	closed bool          // guarded by turn
}

// Caller returns a Caller. It does not dial.
func (b *Bus) Caller() *Caller {
	c := &Caller{bus: b, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// Close closes the Ksock: calls that wait fail with net.ErrClosed, and requests that no
// replier has read stay with their repliers. Close again does nothing.
func (c *Caller) Close() error {
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	if c.closed = true; c.calls == nil {
		return nil
	}
	err := c.calls.close()
	c.calls = nil
	return err
}

// Call sends a request and waits for its reply until ctx ends, and at most 5 s more for the
// word of what became of it when the daemon is silent. It promises what Bus.Call does; only
// the error of a daemon that cannot be reached is that of Bus.Ksock. m.Data must not be
// changed afterwards.
func (c *Caller) Call(ctx context.Context, m *kbusdev.Message) (*kbusdev.Message, error) {
	if m == nil {
		return nil, &NoAnswerError{Outcome: kbusdev.NeverRan, Reason: "EINVAL", Err: errNil("call", "request")}
	}
	reply, err := c.call(ctx, m)
	if err != nil {
		err.Name = m.Name
		return nil, err
	}
	return reply, nil
}

func (c *Caller) call(ctx context.Context, m *kbusdev.Message) (*kbusdev.Message, *NoAnswerError) {
	if err := ctx.Err(); err != nil {
		return nil, neverLeft(&kbusdev.OpError{Op: "call", Name: m.Name, Err: err})
	}
	calls, err := c.open(ctx)
	if err != nil {
		return nil, neverLeft(err)
	}
	id, replies, failed := calls.send(ctx, m)
	if failed != nil {
		return nil, failed
	}
	reply, failed := calls.await(ctx, id, replies)
	if failed != nil {
		return nil, failed
	}
	if o, reason := kbusdev.OutcomeOf(reply); o != kbusdev.Answered {
		return nil, &NoAnswerError{Outcome: o, Reason: reason, Reply: reply}
	}
	return reply, nil
}

// neverLeft is the error of a request that was not sent.
func neverLeft(err error) *NoAnswerError {
	if errors.Is(err, context.DeadlineExceeded) {
		return &NoAnswerError{Outcome: kbusdev.Expired, Err: err}
	}
	return &NoAnswerError{Outcome: kbusdev.NeverRan, Err: err}
}

// open returns the calls of a Ksock that lives.
func (c *Caller) open(ctx context.Context) (*calls, error) {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { c.turn <- struct{}{} }()
	if c.closed {
		return nil, &kbusdev.OpError{Op: "call", Err: net.ErrClosed}
	}
	if c.calls != nil && c.calls.live() {
		return c.calls, nil
	}
	if c.calls != nil {
		_ = c.calls.close() // the session is over
		c.calls = nil
	}
	k, err := c.bus.Ksock(ctx, kbusdev.ReadWrite)
	if err != nil {
		return nil, err
	}
	unless := context.AfterFunc(ctx, k.stop)
	err = k.Prefetch(true)
	if err == nil {
		_, err = k.MaxMessages(callQueue)
	}
	if !unless() {
		err = ctx.Err()
	}
	if err != nil {
		_ = k.Close()
		return nil, err
	}
	c.calls = newCalls(k)
	return c.calls, nil
}

// callQueue is how many replies may wait on the bus, and so how many requests may be open.
const callQueue = 1 << 16

// withdrawTimeout bounds the wait for the word whether a request was taken back.
const withdrawTimeout = 100 * time.Millisecond

// await waits for a reply. When ctx ends it takes the request back, if no replier has read it.
func (c *calls) await(ctx context.Context, id kbusdev.MsgID, replies <-chan *kbusdev.Message) (*kbusdev.Message, *NoAnswerError) {
	defer c.forget(id)
	failed := &NoAnswerError{Outcome: kbusdev.MayHaveRun}
	select {
	case m := <-replies:
		return m, nil
	case <-ctx.Done():
		failed.Outcome = c.withdraw(ctx, id)
		failed.Err = &kbusdev.OpError{Op: "call", Err: ctx.Err()}
	case <-c.ksock.done:
		failed.Err = &kbusdev.OpError{Op: "call", Err: c.ksock.whyOver()}
	}
	select { // it may have come just before
	case m := <-replies:
		return m, nil
	default:
		return nil, failed
	}
}

// withdraw takes a request back, and returns what became of it.
func (c *calls) withdraw(ctx context.Context, id kbusdev.MsgID) kbusdev.Outcome {
	word, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTimeout)
	defer cancel()
	answer := make(chan *program.Result, 1)
	op := &program.Operation{Action: program.Withdraw, Value: uint64(id.Network)<<32 | uint64(id.Serial)}
	if _, err := c.ksock.enqueue(word, op, answer); err != nil {
		return kbusdev.MayHaveRun
	}
	select {
	case r := <-answer:
		if r.Found {
			return neverLeft(ctx.Err()).Outcome
		}
	case <-word.Done():
	case <-c.ksock.done:
	}
	return kbusdev.MayHaveRun
}

// send sends a request, and returns its id and where the reply will come, or what became of
// it.
func (c *calls) send(ctx context.Context, m *kbusdev.Message) (kbusdev.MsgID, <-chan *kbusdev.Message, *NoAnswerError) {
	var none kbusdev.MsgID
	op := &program.Operation{Action: program.Send, Wait: true, Msg: kbusdev.Message{
		Name: plainName(m.Name), Data: m.Data, To: m.To, FinalTo: m.FinalTo, Flags: m.Flags | kbusdev.WantReply, Trace: m.Trace,
	}}
	op.Msg.Expires, _ = ctx.Deadline()
	defer c.sent(c.begin())
	answer := make(chan *program.Result, 1)
	tag, err := c.ksock.enqueue(ctx, op, answer)
	if err != nil {
		return none, nil, neverLeft(&kbusdev.OpError{Op: "call", Name: m.Name, Err: err})
	}
	r, err := c.ksock.fate(ctx, tag, answer)
	if err != nil {
		return none, nil, &NoAnswerError{Outcome: kbusdev.MayHaveRun, Err: &kbusdev.OpError{Op: "call", Name: m.Name, Err: err}}
	}
	if err := r.Err(); err != nil {
		refused := &NoAnswerError{Reason: r.Errno}
		if r.Errno == "EAGAIN" && ctx.Err() != nil {
			err = errors.Join(err, ctx.Err())
		}
		refused.Err = &kbusdev.OpError{Op: r.Op, Name: m.Name, Err: err}
		refused.Outcome = kbusdev.OutcomeOfRefusal(refused.Err)
		return none, nil, refused
	}
	return r.ID, c.expect(r.ID), nil
}
