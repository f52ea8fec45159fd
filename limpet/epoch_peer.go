package limpet

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/table"
)

// NextFrame is link.Driver's.
func (e *Epoch) NextFrame(now time.Time) (f link.Frame, again time.Time, over bool) {
	if r := e.rec; r != nil {
		return r.nextFrame(e, now)
	}
	if e.why == nil {
		if f := e.tables(now); f != nil {
			return f, time.Time{}, false
		}
		if e.done() {
			return &link.Drain{Done: true}, time.Time{}, false
		}
		if len(e.said) > 0 {
			f, e.said[0] = e.said[0], nil
			e.said = e.said[1:]
			return f, time.Time{}, false
		}
	}
	f, again, over = e.session.Next(now)
	if f == nil && !over {
		again = e.orTopology(again)
	}
	return f, again, over
}

// Due returns when NextFrame will have a frame; zero is now, or perhaps now. Before that
// time it has none unless something happens.
func (e *Epoch) Due() time.Time {
	if e.toTell.Len() > 0 || e.retelling != toldOnce || e.wants.pending() || e.peerDraining || len(e.said) > 0 {
		return time.Time{}
	}
	due := e.session.Due()
	if !e.digestAt.IsZero() && e.digestAt.Before(due) {
		due = e.digestAt
	}
	return e.orTopology(due)
}

// Waiting returns how many messages of the peer's the rules have not seen yet.
func (e *Epoch) Waiting() int { return e.session.Waiting() }

// Light reports whether what is to be sent is so little that a transport takes it at once.
func (e *Epoch) Light() bool {
	return !e.topologyOwed && e.toTell.Len() == 0 && e.retelling == toldOnce && !e.wants.pending() && len(e.said) == 0 && e.session.Light()
}

// Flushed is link.Driver's.
func (e *Epoch) Flushed(now time.Time) {
	if r := e.rec; r != nil {
		r.flushed(e, now)
		return
	}
	e.session.Flushed()
	if len(e.overflow) > 0 {
		e.flow(now)
	}
}

// MayReceive reports whether the next frame may be read from the stream.
func (e *Epoch) MayReceive() bool { return e.why != nil || e.session.MayReceive() }

// TakeFrame takes a frame from the peer, but for Topology, Question and Answer, which concern
// all links. An Interest is cut down to what the peer may hear.
// An error ends the stream; unless it is that of a stream that was replaced, the epoch
// has ended too.
func (e *Epoch) TakeFrame(now time.Time, f link.Frame) error {
	if r := e.rec; r != nil {
		return r.takeFrame(e, now, f)
	}
	e.now = now
	if e.why != nil {
		return nil //nolint:nilerr // only the end of the stream is of interest now
	}
	if err := e.control(now, f); err != nil {
		return e.endOn(now, err)
	}
	switch f := f.(type) {
	case *link.Error:
		if f.Code != link.Replaced {
			e.End(now, f, f.Code == link.Expired) // then the peer lives, and begins anew
		}
		return f
	case *link.Drain:
		switch {
		case f.Done:
			e.peerDone = true
		case !e.peerDraining:
			e.peerDraining = true
			e.apply(e.rules.Drain(e.fx[:0]))
		}
		return nil
	case *link.Interest:
		return e.endOn(now, e.wants.take(f))
	case *link.Table:
		e.takeTable(f)
		return nil
	}
	err := e.session.Receive(now, f)
	if len(e.overflow) > 0 {
		e.flow(now)
	}
	return e.endOn(now, err)
}

// endOn ends the epoch if the peer has broken the protocol.
func (e *Epoch) endOn(now time.Time, err error) error {
	if err != nil {
		e.End(now, err, false)
	}
	return err
}

// tell queues a bind event for the peer, in whose place a later one may come.
func (e *Epoch) tell(event *kbusdev.BindEvent) {
	e.toTell.Add(table.Event{Bound: event.Bound, Binder: event.Binder, Name: event.Name})
}

// bindMessage returns the message that tells the peer of a bind event.
func (e *Epoch) bindMessage(ev table.Event) *link.Outgoing {
	return &link.Outgoing{Msg: kbusdev.Message{
		ID:       kbusdev.MsgID{Network: e.cfg.NetworkID},
		OrigFrom: kbusdev.Address{Network: e.cfg.NetworkID},
		Flags:    kbusdev.Synthetic | kbusdev.AllOrFail,
		Name:     kbusdev.NameReplierBindEvent,
		Event:    &kbusdev.BindEvent{Bound: ev.Bound, Binder: ev.Binder, Name: ev.Name},
	}}
}

// maxSaid bounds the questions and answers that wait for the stream.
const maxSaid = 2 * explain.MaxOpen

// Say sends a question or an answer to the peer, if there is a stream, and room. Whoever waits
// for it does not wait for ever.
func (e *Epoch) Say(f link.Frame) {
	if r := e.rec; r != nil {
		r.say(e, f)
		return
	}
	if e.why == nil && e.session.Attached() && len(e.said) < maxSaid {
		e.said = append(e.said, f)
	}
}
