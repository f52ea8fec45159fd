package client

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// plainName returns a name that protobuf can carry, and that the bus judges as name: of one
// that is not UTF-8 the bytes beyond ASCII become others that no name may have.
func plainName(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	b := []byte(name)
	for i, c := range b {
		if c >= utf8.RuneSelf {
			b[i] = '?'
		}
	}
	return string(b)
}

// fateTimeout bounds the wait for the fate of a send whose context has ended.
const fateTimeout = 5 * time.Second

// Send sends m, waits for what the bus says, and returns the id that the message got; see
// kbusdev.Ksock. When ctx ends while the daemon does not answer, the error is that of ctx,
// and the message may be sent or not.
func (k *Ksock) Send(ctx context.Context, m *kbusdev.Message) (kbusdev.MsgID, error) {
	op := &program.Operation{Action: program.Send, Msg: *m, Wait: ctx.Err() == nil}
	op.Msg.Name = plainName(m.Name)
	answer := make(chan *program.Result, 1)
	until := ctx
	if ctx.Err() != nil { // the bus is tried once all the same
		until = context.WithoutCancel(ctx)
	}
	tag, err := k.enqueue(until, op, answer)
	var r *program.Result
	if err == nil {
		r, err = k.fate(until, tag, answer)
	}
	if r == nil {
		r = new(program.Result)
	}
	what := "send"
	if err == nil {
		if err = r.Err(); r.Op != "" {
			what = r.Op
		}
	}
	if err != nil {
		if r.Errno == "EAGAIN" && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", err, ctx.Err())
		}
		return r.ID, &kbusdev.OpError{Op: what, Name: m.Name, Err: err}
	}
	return r.ID, nil
}

// fate waits for the result of a send. When ctx ends it has the send cancelled, and still
// waits a little for what has come of it.
func (k *Ksock) fate(ctx context.Context, tag uint64, answer <-chan *program.Result) (*program.Result, error) {
	select {
	case r := <-answer:
		return r, nil
	case <-k.done:
		return k.late(answer)
	case <-ctx.Done():
	}
	k.mu.Lock()
	if k.over == nil {
		k.put(&program.Operation{Action: program.Cancel, Value: tag}, link.Answers, nil)
	}
	k.unlock(false)
	timeout := time.NewTimer(fateTimeout)
	defer timeout.Stop()
	select {
	case r := <-answer:
		return r, nil
	case <-k.done:
		return k.late(answer)
	case <-timeout.C:
		return nil, fmt.Errorf("the daemon does not answer, the message may be sent or not: %w", ctx.Err())
	}
}

// late returns a result that came just before the Ksock was over, or why it is over.
func (k *Ksock) late(answer <-chan *program.Result) (*program.Result, error) {
	select {
	case r := <-answer:
		return r, nil
	default:
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return nil, k.over
}

// Post queues m to be sent and does not wait for what the bus says, only for room in the
// window of 4096 messages and 1 MiB, until ctx ends. Messages are sent in the order of Post
// and Send; one with ALL_OR_WAIT holds up those behind it until there is room. What the bus
// refuses is told by Flush. m is not kept, but its Data is, and must not be changed
// afterwards.
func (k *Ksock) Post(ctx context.Context, m *kbusdev.Message) error {
	op := program.Operation{Action: program.Send, Msg: *m, Wait: true}
	op.Msg.Name = plainName(m.Name)
	if _, err := k.enqueue(ctx, &op, nil); err != nil {
		return &kbusdev.OpError{Op: "post", Name: m.Name, Err: err}
	}
	return nil
}

// Flush waits until the bus has taken or refused all that was posted before, or ctx ends. It
// returns the refusals since the last Flush, joined: each is an *kbusdev.OpError with the
// message's name. If there are more than 1000, the others are counted only.
func (k *Ksock) Flush(ctx context.Context) error {
	answer := make(chan *program.Result, 1)
	_, err := k.enqueue(ctx, &program.Operation{Action: program.Flush}, answer)
	if err == nil {
		select {
		case <-answer:
		case <-ctx.Done():
			err = ctx.Err()
		case <-k.done:
			_, err = k.late(answer)
		}
	}
	if err != nil {
		return &kbusdev.OpError{Op: "flush", Err: err}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.refused.take()
}

// refusals are what the bus has refused of what was posted.
type refusals struct {
	errs []error
	more int // were not kept
}

const maxRefusals = 1000

func (r *refusals) add(err error) {
	if len(r.errs) == maxRefusals {
		r.more++
		return
	}
	r.errs = append(r.errs, err)
}

func (r *refusals) take() error {
	errs := r.errs
	if r.more > 0 {
		errs = append(errs, fmt.Errorf("%d more messages were refused", r.more))
	}
	*r = refusals{}
	return errors.Join(errs...)
}
