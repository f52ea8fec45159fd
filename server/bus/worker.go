package bus

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// Bounds of one step of a worker.
const (
	workBatch = 64        // operations
	readBatch = 256       // messages
	maxRead   = 512 << 10 // bytes, more than a bus lets a message have
)

// A worker performs a program's operations in order, in the goroutine that receives them. An
// operation that waits does so in a goroutine of its own, which then performs what stood
// behind it.
type worker struct {
	*attached
	turn     sync.Mutex // of who performs; guards what follows
	order    program.Order
	outcomes []outcome
	results  []*program.Result

	waiting [2]waiting // the operation that waits, of Sends and of Receives
	pushing func()     // ends the stream of messages, if there is one
}

// A waiting is an operation that waits.
type waiting struct {
	tag    uint64
	cancel context.CancelFunc
	ended  <-chan struct{} // closed when its result is queued
}

// An outcome is an operation whose place in the window is free again.
type outcome struct {
	sequence uint64
	size     int
}

// noWait is a context that has ended: what is given it does not wait.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// end ends what was pushed. Nobody performs anything any more once it returns: it is called
// after the session's context has ended.
func (w *worker) end() {
	w.turn.Lock()
	defer w.turn.Unlock()
	w.stopPushing()
}

// work performs the operations that can be performed now. It reports whether none is left
// that the session has received, so that nobody needs the memory of its batches.
func (w *worker) work() (all bool) {
	w.turn.Lock()
	defer w.turn.Unlock()
	for w.ctx.Err() == nil {
		w.mu.Lock()
		for _, l := range w.finished {
			w.order.Finished(l)
		}
		w.finished = w.finished[:0]
		room := w.session.Room(link.Answers)
		left := w.session.Waiting() > 0
		var first uint64
		var ops []program.Operation
		if room {
			first, ops = w.session.Take(workBatch)
		}
		w.mu.Unlock()
		worked := false
		for op, ok := w.ready(room); ok; op, ok = w.ready(room) {
			w.perform(&op.Operation, op.Sequence)
			worked = true
		}
		for i := range ops {
			if w.order.Admit(&ops[i], first+uint64(i)) {
				w.perform(&ops[i], first+uint64(i))
			}
		}
		w.settle()
		if !worked && len(ops) == 0 {
			return !left
		}
	}
	return false
}

func (w *worker) ready(room bool) (program.Numbered, bool) {
	if !room {
		return program.Numbered{}, false
	}
	return w.order.Ready()
}

// settle tells the program what has come of operations so far. When the session ends it tells
// nothing: what failed then did so because the Ksock was taken away.
func (w *worker) settle() {
	if len(w.outcomes) == 0 && len(w.results) == 0 || w.ctx.Err() != nil {
		return
	}
	now := time.Now()
	w.mu.Lock()
	for _, r := range w.results {
		w.put(now, r)
	}
	for _, o := range w.outcomes {
		w.session.Decided(now, o.sequence, o.size)
	}
	w.weigh()
	due, light := w.session.Due(), w.session.Light()
	w.mu.Unlock()
	clear(w.results)
	w.results, w.outcomes = w.results[:0], w.outcomes[:0]
	w.waker.Rouse(due, light)
}

// put queues a result for the program, if it wants it. It is called under mu.
func (a *attached) put(now time.Time, r *program.Result) {
	if r.Tag != 0 || r.Errno != "" {
		a.session.Put(now, link.Answers, &link.OutgoingOf[program.Event]{Msg: program.Event{Result: r}})
	}
}

// putMessages queues messages that were read for the program, then a result if it is not
// nil. It is called under mu.
func (a *attached) putMessages(now time.Time, msgs []*kbusdev.Message, r *program.Result) {
	for _, m := range msgs {
		a.given.add(m)
		a.session.Put(now, link.Normal, &link.OutgoingOf[program.Event]{Msg: program.Event{Msg: *m}, FromBus: true})
	}
	if r != nil {
		a.put(now, r)
	}
}

// done notes what has come of an operation.
func (w *worker) done(op *program.Operation, sequence uint64, r *program.Result) {
	w.outcomes = append(w.outcomes, outcome{sequence, op.Size()})
	if r.Tag != 0 || r.Errno != "" {
		w.results = append(w.results, r)
	}
}

// perform does an operation, or has it wait.
func (w *worker) perform(op *program.Operation, sequence uint64) {
	switch op.Action {
	case program.Send:
		w.send(op, sequence)
	case program.Receive:
		w.receive(op, sequence)
	case program.Cancel:
		w.cancel(op, sequence)
	case program.Stream:
		w.stream(op, sequence)
	case program.NumMessages, program.Unreplied, program.Poll:
		w.count(op, sequence)
	case program.Close:
		err := w.ksock.Close()
		w.mu.Lock()
		w.closing = true
		w.mu.Unlock()
		w.done(op, sequence, program.Done(op, err))
	default:
		w.done(op, sequence, w.operate(op))
		w.settle() // what it tells should not be late
	}
}

// send sends a message. One that waits for room goes on in a goroutine of its own, and is
// tried before any other operation.
func (w *worker) send(op *program.Operation, sequence uint64) {
	if op.Msg.Flags&kbusdev.AllOrWait == 0 || !op.Wait {
		id, err := w.ksock.Send(noWait, &op.Msg)
		if op.Tag == 0 && err == nil {
			w.outcomes = append(w.outcomes, outcome{sequence, op.Size()})
			return
		}
		r := program.Done(op, err)
		r.ID = id
		w.done(op, sequence, r)
		return
	}
	w.settle()
	kept := *op
	ctx, cancel := context.WithCancel(w.ctx)
	tried := &firstWait{Context: ctx, waits: make(chan struct{})}
	ended := w.waits(program.Sends, op, cancel)
	w.running.Go(func() {
		defer w.work()
		defer close(ended)
		defer cancel()
		id, err := w.ksock.Send(tried, &kept.Msg)
		tried.once.Do(func() { close(tried.waits) })
		r := program.Done(&kept, err)
		r.ID = id
		w.finish(program.Sends, nil, r, func(now time.Time) {
			if kept.Tag == 0 {
				w.session.Decided(now, sequence, kept.Size())
			}
		})
	})
	<-tried.waits
	if op.Tag != 0 { // the program need not keep it
		w.outcomes = append(w.outcomes, outcome{sequence, op.Size()})
	}
}

// A firstWait is a context that tells when somebody first waits for its end: a Ksock that
// asks has tried, and found no room.
type firstWait struct {
	context.Context
	once  sync.Once
	waits chan struct{}
}

func (c *firstWait) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waits) })
	return c.Context.Done()
}

// waits notes the operation of a line that waits; ended must be closed when it no longer
// does.
func (w *worker) waits(l program.Line, op *program.Operation, cancel context.CancelFunc) (ended chan struct{}) {
	w.order.Waits(l)
	ended = make(chan struct{})
	w.waiting[l-program.Sends] = waiting{op.Tag, cancel, ended}
	return ended
}

// finish tells the program what has come of an operation that has waited, unless the session
// ends. Who calls it lets go of the operation, and then works.
func (a *attached) finish(l program.Line, msgs []*kbusdev.Message, r *program.Result, also func(now time.Time)) {
	if a.ctx.Err() != nil {
		return
	}
	now := time.Now()
	a.mu.Lock()
	a.putMessages(now, msgs, r)
	also(now)
	a.finished = append(a.finished, l)
	a.weigh()
	due, light := a.session.Due(), a.session.Light()
	a.mu.Unlock()
	a.waker.Rouse(due, light)
}

// cancel ends the waiting of another operation.
func (w *worker) cancel(op *program.Operation, sequence uint64) {
	if behind, ok := w.order.Remove(op.Value); ok {
		r := &program.Result{Tag: behind.Tag}
		if behind.Action != program.Receive {
			r = program.Done(&behind.Operation, &kbusdev.OpError{Op: "send", Err: syscall.EAGAIN})
		}
		w.done(&behind.Operation, behind.Sequence, r)
	}
	for i := range w.waiting {
		if x := &w.waiting[i]; x.cancel != nil && x.tag == op.Value {
			x.cancel()
			<-x.ended // what it has read is given before anything else is asked
		}
	}
	w.done(op, sequence, program.Done(op, nil))
}

// receive reads messages. If there is none, or no room for one, and it may wait, it goes on
// in a goroutine of its own.
func (w *worker) receive(op *program.Operation, sequence uint64) {
	w.settle()
	if w.pushing != nil {
		w.done(op, sequence, program.Done(op, &kbusdev.OpError{Op: "recv", Err: syscall.EALREADY}))
		return
	}
	memory := make([]*kbusdev.Message, min(max(op.Value, 1), readBatch))
	if w.hasRoom() {
		n, err := w.recv(noWait, memory)
		if n > 0 || err != nil || !op.Wait {
			r := program.Done(op, err)
			r.Value = uint64(n)
			w.mu.Lock()
			w.putMessages(time.Now(), memory[:n], nil)
			w.mu.Unlock()
			w.done(op, sequence, r)
			w.settle()
			return
		}
	}
	ctx, cancel := context.WithCancel(w.ctx)
	ended := w.waits(program.Receives, op, cancel)
	kept := program.Operation{Tag: op.Tag, Action: op.Action, Wait: op.Wait}
	w.running.Go(func() {
		defer w.work()
		defer close(ended)
		defer cancel()
		n, err := 0, error(nil)
		if w.awaitRoom(ctx) {
			until := ctx
			if !kept.Wait {
				until = noWait
			}
			n, err = w.recv(until, memory)
		}
		r := program.Done(&kept, err)
		r.Value = uint64(n)
		w.finish(program.Receives, memory[:n], r, func(time.Time) {})
	})
	w.outcomes = append(w.outcomes, outcome{sequence, op.Size()}) // the program need not keep it
}

// recv reads messages. That there was none is no error.
func (a *attached) recv(ctx context.Context, memory []*kbusdev.Message) (int, error) {
	n, err := a.ksock.RecvBatch(ctx, memory)
	if err != nil && ctx.Err() != nil {
		if _, refused := kbusdev.ErrnoOf(err); !refused {
			err = nil
		}
	}
	return n, err
}

// hasRoom reports whether the window has room for messages. What is read at once may be
// more: it was in the queue of the Ksock before, which is bounded.
func (a *attached) hasRoom() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.session.Room(link.Normal)
}

// awaitRoom waits until the window has room for messages. It returns false when ctx ends
// before.
func (a *attached) awaitRoom(ctx context.Context) bool {
	for !a.hasRoom() {
		select {
		case <-a.wakeRead:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// stream begins or ends giving messages as they come.
func (w *worker) stream(op *program.Operation, sequence uint64) {
	w.stopPushing()
	if op.Value != 0 {
		w.startPushing()
	}
	w.done(op, sequence, program.Done(op, nil))
}

func (w *worker) startPushing() {
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan struct{})
	w.pushing = func() { cancel(); <-ended }
	w.running.Go(func() {
		defer close(ended)
		w.push(ctx)
	})
}

func (w *worker) stopPushing() {
	if w.pushing != nil {
		w.pushing()
		w.pushing = nil
	}
}

// push gives messages as they come until ctx ends or the Ksock fails.
func (a *attached) push(ctx context.Context) {
	var memory [readBatch]*kbusdev.Message
	for a.awaitRoom(ctx) {
		n, err := a.recv(ctx, memory[:])
		var failed *program.Result
		if err != nil {
			failed = program.Done(&program.Operation{Action: program.Stream}, err)
		}
		a.mu.Lock()
		a.putMessages(time.Now(), memory[:n], failed)
		a.weigh()
		due, light := a.session.Due(), a.session.Light()
		a.mu.Unlock()
		clear(memory[:n])
		a.waker.Rouse(due, light)
		if err != nil {
			return
		}
	}
}
