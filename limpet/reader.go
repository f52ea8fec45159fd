package limpet

import (
	"context"
	"fmt"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// read is the goroutine from the bus to the link. It never sends on the bus, so
// a full window stops it and nothing else.
func (l *Limpet) read(ctx context.Context) error {
	if err := l.askSnapshot(); err != nil {
		return err
	}
	r := reader{Limpet: l}
	msgs := make([]*kbusdev.Message, link.MaxBatchMessages)
	for ctx.Err() == nil {
		n, err := l.ksock.RecvBatch(ctx, msgs)
		if err != nil {
			return err
		}
		r.watchQueue(n == len(msgs))
		stop := r.translate(msgs[:n])
		clear(msgs[:n])
		if err := r.forward(ctx); err != nil {
			return err
		}
		if stop {
			return ErrTerminated
		}
		if l.snapshotWanted() {
			if err := l.askSnapshot(); err != nil {
				return err
			}
		}
	}
	return nil
}

// A reader is what the reading goroutine keeps to itself.
type reader struct {
	*Limpet
	out     []link.Outgoing // translated, for the link
	stalled bool
	wasFull bool
}

// translate applies the rules to what was read. stop: it was the termination message.
func (r *reader) translate(msgs []*kbusdev.Message) (stop bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.do(r.machine.Tick(now))
	for _, m := range msgs {
		r.counts.read++
		if n := m.ID.Network; n != 0 && n != r.node.networkID && !m.IsReply() {
			r.node.recent.read(m.ID, m.From, now)
		}
		fx := r.machine.FromBus(m)
		for i := range fx {
			f := &fx[i]
			own := i == 0 // the message's own fate; what follows is for other causes
			switch f.Kind {
			case translate.Forward:
				if kbusdev.CheckName(f.Msg.Name) != nil {
					// The module lets Latin-1 letters pass; a name on a link is ASCII.
					r.unspeakable(f)
					continue
				}
				r.out = append(r.out, link.Outgoing{Msg: f.Msg, FromBus: own})
			case translate.Snapshot:
				r.snapshot = true
				r.counts.fromBus[f.Reason]++
			case translate.Stop:
				r.counts.fromBus[f.Reason]++
				stop = true
			default:
				if own {
					r.counts.fromBus[f.Reason]++
				}
				r.do(fx[i : i+1])
			}
			r.trace("from bus", m, f)
		}
		if stop {
			return true
		}
	}
	return false
}

// unspeakable ends a message whose name cannot go over the link.
func (r *reader) unspeakable(f *translate.Effect) {
	out := f.Msg
	r.counts.fromBus[translate.Refused]++
	if out.WantsUsToReply() {
		r.do(r.machine.Abandon(&out))
	}
}

// forward gives what was translated to the link. While the window is full it
// waits, and does not read the bus; when that lasts it goes on without the peer.
func (r *reader) forward(ctx context.Context) error {
	sent := 0
	var stall *time.Timer
	for {
		inOrder := r.flushLate() // nothing overtakes the bind events that were put off
		if inOrder {
			sent += r.session.Send(r.out[sent:])
		}
		if sent == len(r.out) {
			if r.stalled && inOrder {
				r.stalled = false
				r.log.Info("the peer takes messages again")
			}
			break
		}
		if r.stalled {
			r.giveUp(r.out[sent:])
			break
		}
		if stall == nil {
			stall = time.NewTimer(r.cfg.StallTimeout)
			defer stall.Stop()
		}
		select {
		case <-r.session.Room():
		case <-stall.C:
			r.stalled = true
			r.log.Warn("the peer takes nothing; requests are answered EBUSY and announcements dropped", "for", r.cfg.StallTimeout)
		case <-ctx.Done():
			r.out = r.out[:0]
			return ctx.Err()
		}
	}
	clear(r.out)
	r.out = r.out[:0]
	return nil
}

// giveUp ends what a stalled peer does not take: requests are answered,
// announcements dropped and counted. Answers to the peer's own requests and bind
// events are kept, for their number is bounded.
func (r *reader) giveUp(out []link.Outgoing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range out {
		o := &out[i]
		switch {
		case o.Msg.IsReply():
			r.session.Answer(o)
			continue
		case o.Msg.Name == kbusdev.NameReplierBindEvent:
			r.late.add(o)
			r.hasLate.Store(true)
		case o.Msg.WantsUsToReply():
			r.do(r.machine.Abandon(&o.Msg))
		}
		r.counts.fromBus[translate.Stalled]++
	}
}

// flushLate sends the bind events that were put off, as far as there is room, and
// tells whether none is left. The reader does it before it sends anything, the
// writer when the peer has acked something: the bus may be quiet by then.
func (l *Limpet) flushLate() bool {
	if !l.hasLate.Load() {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late.flush(l.session)
	empty := l.late.empty()
	l.hasLate.Store(!empty)
	return empty
}

// do hands effects to those who carry them out. The mutex is held.
func (l *Limpet) do(fx []translate.Effect) {
	for i := range fx {
		switch fx[i].Kind {
		case translate.Bounce:
			l.session.Answer(&link.Outgoing{Msg: fx[i].Msg})
		case translate.Send, translate.Bind, translate.Unbind:
			l.todo = append(l.todo, fx[i])
			select {
			case l.wake <- struct{}{}:
			default:
			}
		}
	}
}

// watchQueue notes when our queue was at its bound: the bus may have dropped
// announcements then, and cannot tell how many.
func (r *reader) watchQueue(more bool) {
	full := false
	if more {
		n, err := r.ksock.NumMessages()
		full = err == nil && n+link.MaxBatchMessages >= int(r.cfg.MaxMessages)
	}
	if full && !r.wasFull {
		r.mu.Lock()
		r.counts.queueFull++
		r.mu.Unlock()
		r.log.Warn("our queue on the bus is full; the bus may drop announcements for us", "messages", r.cfg.MaxMessages)
	}
	r.wasFull = full
}

func (l *Limpet) snapshotWanted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := l.snapshot
	l.snapshot = false
	return wanted
}

// askSnapshot makes the bus queue an event for every replier. If they do not
// fit, our queue is made larger: reading it empty would not help.
func (l *Limpet) askSnapshot() error {
	const most = 1 << 23
	for {
		_, err := l.ksock.ReportReplierBinds(kbusdev.On)
		errno, refused := kbusdev.ErrnoOf(err)
		if err == nil {
			break
		}
		if !refused || errno != errBusy || l.cfg.MaxMessages >= most {
			return err
		}
		now, raiseErr := l.ksock.MaxMessages(2 * l.cfg.MaxMessages)
		if raiseErr != nil {
			return raiseErr
		}
		if now <= l.cfg.MaxMessages {
			return fmt.Errorf("the bus has more repliers than the %d messages that its queues can be raised to (kbusd --max-queue): %w", now, err)
		}
		l.cfg.MaxMessages = now
	}
	n, err := l.ksock.NumMessages()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.machine.SnapshotAsked(n) {
		if f.Kind == translate.Forward {
			l.session.Answer(&link.Outgoing{Msg: f.Msg})
		}
	}
	return nil
}

// lateBinds are bind events that a stalled peer is still to be told. Of each name
// at most an unbind and the bind after it are kept.
type lateBinds struct {
	order  []string
	byName map[string][]lateBind
}

type lateBind struct {
	event kbusdev.BindEvent
	out   link.Outgoing
}

func newLateBinds() lateBinds { return lateBinds{byName: make(map[string][]lateBind)} }

func (b *lateBinds) empty() bool { return len(b.byName) == 0 }

func (b *lateBinds) add(o *link.Outgoing) {
	if o.Msg.Event == nil {
		return // we made it, so it is well formed
	}
	e := *o.Msg.Event
	was := b.byName[e.Name]
	if n := len(was); n > 0 && was[n-1].event.Bound && !e.Bound && was[n-1].event.Binder == e.Binder {
		was = was[:n-1] // the peer need not hear of either
	} else {
		kept := *o
		kept.FromBus = false // it was counted when it was put off
		was = append(was, lateBind{event: e, out: kept})
	}
	if b.byName[e.Name] == nil {
		b.order = append(b.order, e.Name)
	}
	b.byName[e.Name] = was
}

// flush sends what there is room for, in the order of the names.
func (b *lateBinds) flush(s *link.Session) {
	for len(b.order) > 0 {
		name := b.order[0]
		for len(b.byName[name]) > 0 {
			if s.Send([]link.Outgoing{b.byName[name][0].out}) == 0 {
				return
			}
			b.byName[name] = b.byName[name][1:]
		}
		delete(b.byName, name)
		b.order = b.order[1:]
	}
}
