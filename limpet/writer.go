package limpet

import (
	"context"
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

const errBusy = syscall.EBUSY

// write is the goroutine that does everything that is done on the bus: what the
// peer brings, what the reader wants answered, and what has become due.
func (l *Limpet) write(ctx context.Context) error {
	w := writer{Limpet: l, ctx: ctx}
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	var spare []kbusdev.Message
	for {
		if err := w.doTodo(); err != nil {
			return err
		}
		w.flushLate()
		msgs := l.session.TryRecv(spare)
		if err := w.take(msgs); err != nil {
			return err
		}
		clear(msgs)
		spare = msgs // the session has the other one
		if len(msgs) > 0 {
			continue
		}
		w.arm(due)
		select {
		case <-l.wake:
		case <-l.session.Incoming():
		case <-due.C:
		case reason := <-l.drain:
			w.startDrain(reason)
		case <-l.session.Ended():
			return w.last(l.session.TryRecv(nil))
		}
	}
}

// A writer is what the writing goroutine keeps to itself.
type writer struct {
	*Limpet
	ctx context.Context
}

// arm sets the timer for what the machine wants done later.
func (w *writer) arm(due *time.Timer) {
	w.mu.Lock()
	next := w.machine.Next()
	w.mu.Unlock()
	if next.IsZero() {
		due.Reset(time.Hour)
		return
	}
	due.Reset(max(time.Until(next), 0))
}

// doTodo carries out what the reader has left to do and what is due.
func (w *writer) doTodo() error {
	w.mu.Lock()
	w.do(w.machine.Tick(time.Now()))
	for len(w.todo) > 0 {
		todo := w.todo
		w.todo = nil
		w.busy = len(todo)
		w.mu.Unlock()
		for i := range todo {
			if err := w.carryOut(&todo[i], nil); err != nil {
				return err
			}
		}
		w.mu.Lock()
		w.busy = 0
	}
	w.mu.Unlock()
	return nil
}

// take brings messages from the peer to the bus, in order.
func (w *writer) take(msgs []kbusdev.Message) error {
	now := time.Now()
	for i := range msgs {
		if err := w.takeOne(&msgs[i], now); err != nil {
			return err
		}
		w.session.Done(1)
	}
	return nil
}

// last deals with what came before the link ended. Replies and announcements are
// still good; a request would be carried out and its reply lost.
func (w *writer) last(msgs []kbusdev.Message) error {
	for i := range msgs {
		if msgs[i].WantsUsToReply() || msgs[i].Name == kbusdev.NameReplierBindEvent {
			w.mu.Lock()
			w.counts.fromPeer[translate.LinkLost]++
			w.mu.Unlock()
			continue
		}
		if err := w.takeOne(&msgs[i], time.Now()); err != nil {
			return err
		}
	}
	return w.doTodo()
}

func (w *writer) takeOne(m *kbusdev.Message, now time.Time) error {
	var facts translate.Facts
	if !m.IsReply() && m.Name != kbusdev.NameReplierBindEvent {
		facts.BroughtBefore = w.node.recent.claim(m.ID, w.number, now)
	}
	w.mu.Lock()
	if m.IsStateful() && m.WantsUsToReply() {
		facts.Replier = w.machine.Replier(m.Name)
	}
	// The effects' memory is the machine's: there are one or two, copied here.
	var few [4]translate.Effect
	fx := append(few[:0], w.machine.FromPeer(m, facts)...)
	w.busy++
	w.mu.Unlock()
	fate := translate.BindEventUsed
	for i := range fx {
		w.trace("from peer", m, &fx[i])
		if err := w.carryOut(&fx[i], &fate); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy--
	if fate == translate.NoReason {
		w.counts.delivered++
	} else {
		w.counts.fromPeer[fate]++
	}
	return nil
}

// carryOut does one effect and what follows from its outcome. fate, unless nil,
// is set to how the peer's message ended. The error is that of a dead bus.
func (w *writer) carryOut(fx *translate.Effect, fate *translate.Reason) error {
	switch fx.Kind {
	case translate.Send:
		return w.sendToBus(fx, fate)
	case translate.Bind, translate.Unbind:
		return w.bindOnBus(fx)
	case translate.Bounce:
		w.session.Answer(&link.Outgoing{Msg: fx.Msg})
		setFate(fate, fx.Reason)
	case translate.Drop:
		setFate(fate, fx.Reason)
	}
	return nil
}

func setFate(fate *translate.Reason, r translate.Reason) {
	if fate != nil {
		*fate = r
	}
}

func (w *writer) sendToBus(fx *translate.Effect, fate *translate.Reason) error {
	ctx := w.ctx
	if fx.Msg.Flags&kbusdev.AllOrWait != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.cfg.WaitTimeout)
		defer cancel()
	}
	_, err := w.ksock.Send(ctx, &fx.Msg)
	if err == nil {
		if !fx.Own {
			setFate(fate, translate.NoReason)
		}
		if fx.Msg.IsReply() {
			w.mu.Lock()
			w.machine.Sent(fx)
			w.mu.Unlock()
		}
		return nil
	}
	errno, refused := kbusdev.ErrnoOf(err)
	if !refused {
		return err
	}
	w.mu.Lock()
	var few [4]translate.Effect
	after := append(few[:0], w.machine.SendFailed(fx, errno)...)
	w.mu.Unlock()
	for i := range after {
		w.trace("refused by bus: "+kbusdev.ErrnoName(errno), &fx.Msg, &after[i])
		if err := w.carryOut(&after[i], fate); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) bindOnBus(fx *translate.Effect) error {
	op := w.ksock.Bind
	if fx.Kind == translate.Unbind {
		op = w.ksock.Unbind
	}
	err := op(fx.Name, kbusdev.Replier)
	errno, refused := kbusdev.ErrnoOf(err)
	if err != nil && !refused {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if fx.Kind == translate.Bind {
		w.do(w.machine.BindDone(fx.Name, errno))
	} else {
		w.do(w.machine.UnbindDone(fx.Name, errno))
	}
	return nil
}

// trace logs a message as it is processed, never its data.
func (l *Limpet) trace(where string, m *kbusdev.Message, fx *translate.Effect) {
	if !l.cfg.Trace {
		return
	}
	l.log.Debug(where, "message", m.Kind(), "name", m.Name, "id", m.ID.String(), "in_reply_to", m.InReplyTo.String(),
		"from", m.From, "to", m.To, "orig_from", m.OrigFrom.String(), "flags", m.Flags.String(), "bytes", len(m.Data),
		"action", fx.Kind.String(), "reason", fx.Reason.String(), "out_id", fx.Msg.ID.String(), "out_to", fx.Msg.To, "out_name", fx.Msg.Name)
}
