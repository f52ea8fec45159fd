package client

import (
	"context"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// An inbox has the messages that have come, and nobody has taken; all of it is guarded by
// the Ksock's mutex. They are acknowledged when they are taken, so that the window bounds
// them.
type inbox struct {
	arrived   []arrival
	block     []kbusdev.Message // for those that come next
	taken     uint64            // messages, ever
	answers   uint64            // that we owe for these, ever
	asked     *asked            // the receive that is under way; nil if there is none
	receivers int               // calls that wait for a message
	prefetch  bool
	failed    error         // of a receive, for the next call
	news      chan struct{} // signalled when something has come
}

type arrival struct {
	msg      *kbusdev.Message
	sequence uint64
}

// blockLen is how many messages that have come together share an allocation, at most: who
// keeps one keeps the others, too.
const blockLen = 16

// An asked is a receive that is under way.
type asked struct {
	tag       uint64
	cancelled bool
	done      chan struct{} // closed when it has its result
}

func newInbox() inbox { return inbox{news: make(chan struct{}, 1)} }

// add takes a copy of a message, behind which so many more have come.
func (x *inbox) add(m *kbusdev.Message, sequence uint64, more int) {
	if len(x.block) == 0 {
		x.block = make([]kbusdev.Message, min(more+1, blockLen))
	}
	x.block[0] = *m
	x.arrived = append(x.arrived, arrival{&x.block[0], sequence})
	x.block = x.block[1:]
}

// answered takes the result of the receive that is under way.
func (x *inbox) answered(r *program.Result) {
	close(x.asked.done)
	x.asked = nil
	if r.Errno != "" {
		x.fail(r)
	}
	signal(x.news)
}

func (x *inbox) fail(r *program.Result) {
	x.failed = &kbusdev.OpError{Op: r.Op, Err: r.Err()}
	signal(x.news)
}

// takeArrived moves messages to dst, and returns how many. It is called under mu.
func (k *Ksock) takeArrived(dst []*kbusdev.Message) int {
	x := &k.inbox
	n := min(len(dst), len(x.arrived))
	if n == 0 {
		return 0
	}
	now := time.Now()
	for i := range n {
		a := &x.arrived[i]
		dst[i] = a.msg
		if a.msg.WantsUsToReply() {
			x.answers++
		}
		k.session.Decided(now, a.sequence, a.msg.Size())
	}
	clear(x.arrived[:n])
	if x.arrived = x.arrived[n:]; len(x.arrived) == 0 {
		x.arrived = nil
	} else {
		signal(x.news) // for another call that waits
	}
	x.taken += uint64(n)
	return n
}

// ask asks for messages. It is called under mu when no receive is under way.
func (k *Ksock) ask(most int, wait bool) *asked {
	op := &program.Operation{Action: program.Receive, Value: uint64(most), Wait: wait}
	k.lastTag++
	op.Tag = k.lastTag
	k.put(op, link.Answers, nil)
	k.inbox.asked = &asked{tag: op.Tag, done: make(chan struct{})}
	return k.inbox.asked
}

// Recv waits for the next message and returns it; it is the caller's, but its Data is
// shared and must not be changed. It returns at once when ctx ends or the Ksock is closed. A
// context that has ended before asks the bus without waiting for a message.
func (k *Ksock) Recv(ctx context.Context) (*kbusdev.Message, error) {
	var one [1]*kbusdev.Message
	if _, err := k.RecvBatch(ctx, one[:]); err != nil {
		return nil, err
	}
	return one[0], nil
}

// RecvBatch waits like Recv, then fills dst with what is queued, at least one, and returns
// how many. It is the faster the more dst has room for, up to 256.
func (k *Ksock) RecvBatch(ctx context.Context, dst []*kbusdev.Message) (n int, err error) {
	if len(dst) == 0 {
		return 0, nil
	}
	if ctx.Err() != nil {
		n, err = k.recvNow(ctx, dst)
	} else {
		n, err = k.recvWait(ctx, dst)
	}
	if err == nil || n > 0 {
		return n, nil
	}
	if _, wrapped := err.(*kbusdev.OpError); !wrapped { //nolint:errorlint // as recvNow and recvWait return it
		err = &kbusdev.OpError{Op: "recv", Err: err}
	}
	return 0, err
}

// received returns messages, or why there will be none. It is called under mu.
func (k *Ksock) received(dst []*kbusdev.Message) (n int, err error) {
	if k.closed {
		return 0, k.over
	}
	if n = k.takeArrived(dst); n > 0 {
		return n, nil
	}
	if err, k.inbox.failed = k.inbox.failed, nil; err != nil {
		return 0, err
	}
	return 0, k.over
}

// recvNow returns what there is, or the error of ctx, which has ended.
func (k *Ksock) recvNow(ctx context.Context, dst []*kbusdev.Message) (int, error) {
	for own := false; ; {
		k.mu.Lock()
		n, err := k.received(dst)
		a := k.inbox.asked
		switch {
		case n > 0 || err != nil:
			k.unlock(false)
			return n, err
		case own && a == nil, k.inbox.prefetch, a != nil && !a.cancelled && k.inbox.receivers > 0:
			// The bus has just said that there is none, or will say when there is one.
			k.mu.Unlock()
			return 0, ctx.Err()
		case a == nil:
			a, own = k.ask(len(dst), false), true
		}
		k.unlock(true)
		select {
		case <-a.done:
		case <-k.done:
		}
	}
}

// recvWait returns what comes until ctx ends.
func (k *Ksock) recvWait(ctx context.Context, dst []*kbusdev.Message) (int, error) {
	k.mu.Lock()
	defer k.unlock(false)
	k.inbox.receivers++
	defer k.waitsNoMore()
	for {
		if n, err := k.received(dst); n > 0 || err != nil {
			return n, err
		}
		if k.inbox.asked == nil && !k.inbox.prefetch {
			k.ask(len(dst), true)
		}
		k.unlock(true)
		select {
		case <-k.inbox.news:
		case <-k.done:
		case <-ctx.Done():
		}
		k.mu.Lock()
		if ctx.Err() != nil {
			n, err := k.received(dst)
			if n == 0 && err == nil {
				err = ctx.Err()
			}
			return n, err
		}
	}
}

// waitsNoMore has the receive that is under way cancelled when nobody waits for it any
// more. What it brings all the same is for the next call. It is called under mu.
func (k *Ksock) waitsNoMore() {
	x := &k.inbox
	if x.receivers--; x.receivers > 0 {
		if len(x.arrived) > 0 || x.failed != nil || k.over != nil || x.asked == nil {
			signal(x.news)
		}
		return
	}
	k.cancelAsked()
}

// cancelAsked has the receive that is under way cancelled. It is called under mu.
func (k *Ksock) cancelAsked() {
	if a := k.inbox.asked; a != nil && !a.cancelled && k.over == nil {
		a.cancelled = true
		k.put(&program.Operation{Action: program.Cancel, Value: a.tag}, link.Answers, nil)
	}
}

// Prefetch turns on that the daemon sends messages as they come, before Recv asks for them,
// as far as the window of 4096 messages and 1 MiB has room: Recv is much faster then, and
// with a context that has ended gives only what has come. What was sent so is not in the
// queue on the bus any more, so that Unbind does not take it back; NumMessages and Unreplied
// count it as the bus would.
func (k *Ksock) Prefetch(on bool) error {
	op := &program.Operation{Action: program.Stream}
	if on {
		op.Value = 1
		k.mu.Lock()
		k.inbox.prefetch = true // nobody asks any more,
		k.cancelAsked()         // for the daemon refuses that, and would let this wait
		k.unlock(false)
	}
	_, err := k.do("prefetch", op)
	k.mu.Lock()
	k.inbox.prefetch = on && err == nil
	k.mu.Unlock()
	signal(k.inbox.news) // a call that waits may ask now
	return err
}
