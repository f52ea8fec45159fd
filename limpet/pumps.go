package limpet

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// read is the pump from the bus to the epoch. A full window stops it, and nothing
// else. It alone asks the bus for snapshots, so that it knows which messages belong to
// one.
func (l *live) read(ctx context.Context) error {
	var memory [readBatch]*kbusdev.Message
	waits := l.newWait(ctx)
	for ctx.Err() == nil {
		l.mu.Lock()
		n, snapshot := l.epoch.Appetite(), l.epoch.WantsSnapshot()
		l.mu.Unlock()
		if snapshot {
			if err := l.askSnapshot(); err != nil {
				return err
			}
			continue
		}
		if n == 0 {
			select {
			case <-l.wakeRead:
			case <-ctx.Done():
			}
			continue
		}
		got, err := l.ksock.RecvBatch(waits, memory[:n])
		if err != nil && waits.Err() != nil {
			waits = l.newWait(ctx) //nolint:fatcontext // it is a child of ctx, not of the last one
			continue
		}
		if err != nil {
			return err
		}
		msgs := memory[:got]
		full := l.queueFull(got == len(memory))
		l.mu.Lock()
		news := l.epoch.QueueFull(full)
		terminated := l.epoch.FromBus(time.Now(), msgs)
		others := l.sleepers()
		l.mu.Unlock()
		clear(msgs)
		l.rouse(others)
		if news {
			l.log.Warn("our queue on the bus is full; the bus may drop announcements for us")
		}
		if terminated {
			return ErrTerminated
		}
	}
	return ctx.Err()
}

// newWait returns the context in which the reader waits for messages, until stopWaiting.
func (l *live) newWait(ctx context.Context) context.Context {
	ctx, stop := context.WithCancel(ctx)
	if old := l.stopWait.Swap(&stop); old != nil {
		(*old)()
	}
	return ctx
}

// stopWaiting has a reader that waits for messages look at what the epoch wants of it.
func (l *live) stopWaiting() {
	if stop := l.stopWait.Load(); stop != nil {
		(*stop)()
	}
}

// readRest reads what waits in our queue when the epoch is over: closing the Ksock would
// lose it, and nobody would know. It reads no more than waits there now.
func (l *live) readRest() {
	left, _ := l.ksock.NumMessages() // of a bus that has failed there is nothing to read
	var memory [readBatch]*kbusdev.Message
	for left > 0 {
		got, err := l.ksock.RecvBatch(noWait, memory[:min(left, readBatch)])
		if err != nil {
			return
		}
		l.mu.Lock()
		l.epoch.FromBus(time.Now(), memory[:got])
		l.mu.Unlock()
		left -= got
	}
}

// queueFull reports whether our queue on the bus is near its bound.
func (l *live) queueFull(more bool) bool {
	if !more {
		return false
	}
	n, err := l.ksock.NumMessages()
	if err != nil {
		return false
	}
	most, err := l.ksock.MaxMessages(0)
	return err == nil && n+readBatch >= int(most)
}

// askSnapshot makes the bus queue an event for every replier. If they do not fit, our
// queue is made larger, and the bus is asked again when what it did queue has been read.
func (l *live) askSnapshot() error {
	before, err := l.ksock.NumMessages()
	if err != nil {
		return err
	}
	_, err = l.ksock.ReportReplierBinds(kbusdev.On)
	cut := false
	if errno, _ := kbusdev.ErrnoOf(err); errno == syscall.EBUSY {
		cut = true
		err = l.raiseQueue(before)
	}
	if err != nil {
		return err
	}
	n, err := l.ksock.NumMessages()
	if err != nil {
		return err
	}
	l.with(func(e *Epoch) {
		if cut {
			e.SnapshotCut(n)
		} else {
			e.SnapshotAsked(n)
		}
	})
	return nil
}

// raiseQueue doubles the bound of our queue, in which so many messages waited before the
// snapshot was asked for. If it cannot be raised any more, reading it empty may help,
// unless most of it was free.
func (l *live) raiseQueue(before int) error {
	was, err := l.ksock.MaxMessages(0)
	if err != nil {
		return err
	}
	now, err := l.ksock.MaxMessages(2 * was)
	if err != nil {
		return err
	}
	if now <= was && before < int(was)/2 {
		return fmt.Errorf("the bus has more repliers than the %d messages that its queues can be raised to (kbusd --max-queue): %w", now, syscall.EBUSY)
	}
	return nil
}

// write is the pump to the bus: until the epoch is over every operation there is performed,
// by it or by writeNow.
func (l *live) write() {
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		l.writing.Lock()
		over := l.writeAll()
		l.writing.Unlock()
		if over {
			return
		}
		l.mu.Lock()
		wait := time.Until(l.busDue)
		l.mu.Unlock()
		due.Reset(max(wait, 0))
		select {
		case <-l.wakeBus:
		case <-due.C:
		}
	}
}

// writeNow performs what is to be done on the bus in the place of the pump, which then need
// not be woken for it. It returns false if the pump is doing so.
func (l *live) writeNow() bool {
	if !l.writing.TryLock() {
		return false
	}
	defer l.writing.Unlock()
	l.mu.Lock()
	due := l.busDue
	l.mu.Unlock()
	over := l.written || l.writeAll()
	l.mu.Lock()
	sooner := l.busDue.Before(due)
	l.mu.Unlock()
	if over || sooner {
		signal(l.wakeBus) // the pump must know
	}
	return true
}

// writeAll performs what is to be done on the bus now, and reports whether the epoch is over.
// It is called under writing.
func (l *live) writeAll() (over bool) {
	for {
		l.mu.Lock()
		now := time.Now()
		l.dos = l.epoch.Dos(now, l.dos[:0])
		next, over := l.epoch.NextTime(), l.epoch.Over()
		hungry := l.epoch.Appetite() > 0
		if next.IsZero() {
			next = now.Add(time.Hour)
		}
		l.busDue = next
		others := l.sleepers()
		l.mu.Unlock()
		if len(l.dos) == 0 {
			if over {
				return true
			}
			if hungry {
				signal(l.wakeRead) // time alone may have made room
			}
			l.waker.Rouse(others.send, others.light) // what came, or the time, may have an answer that needs nothing of the bus
			return false
		}
		if err := l.perform(l.dos); err != nil {
			l.busFailed(err)
		}
		l.mu.Lock()
		l.epoch.Outcomes(time.Now(), l.dos)
		others = l.sleepers()
		l.mu.Unlock()
		clear(l.dos)
		l.waker.Rouse(others.send, others.light)
		signal(l.mayRead)
	}
}

// perform does everything in order. The error is that of a dead bus.
func (l *live) perform(dos []Do) (dead error) {
	for i := range dos {
		d := &dos[i]
		var err error
		switch d.Effect.Kind {
		case translate.Bind:
			err = l.ksock.Bind(d.Effect.Name, kbusdev.Replier)
		case translate.Unbind:
			err = l.ksock.Unbind(d.Effect.Name, kbusdev.Replier)
		default:
			to := context.Background()
			if d.Effect.Msg.Flags&kbusdev.AllOrWait != 0 {
				to = noWait
			}
			_, err = l.ksock.Send(to, &d.Effect.Msg)
		}
		if err != nil {
			errno, refused := kbusdev.ErrnoOf(err)
			if !refused {
				errno, dead = syscall.EIO, err
			}
			d.Errno = errno
		}
	}
	return dead
}

// noWait is a context that has ended: a send with it finds room at once or not at all.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// trace logs a message as it is processed, never its data.
func (l *live) trace(where string, m *kbusdev.Message, fx *translate.Effect) {
	l.log.Debug("message processed", "where", where, "message", m.Kind(), "name", m.Name, "id", m.ID.String(), "in_reply_to", m.InReplyTo.String(),
		"from", m.From, "to", m.To, "orig_from", m.OrigFrom.String(), "flags", m.Flags.String(), "bytes", m.Size()-len(m.Name),
		"action", fx.Kind.String(), "reason", fx.Reason.String(), "out_id", fx.Msg.ID.String(), "out_to", fx.Msg.To, "out_name", fx.Msg.Name)
}
