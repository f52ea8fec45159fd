package limpet

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/table"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// digestEvery is how often the peer is told the digest of what it has been told, unless
// the configuration says otherwise.
const digestEvery = time.Minute

// A retelling is how far we are with telling the peer the whole table again.
type retelling uint8

const (
	toldOnce retelling = iota
	beginning
	telling
)

// tables moves bind events into the session, and returns a frame about tables if one is
// due. Bind events are numbered messages, so nothing is missing as long as both sides
// do as they should; the digest finds out whether they did.
func (e *Epoch) tables(now time.Time) link.Frame {
	if f := e.wants.frame(); f != nil {
		return f
	}
	if e.cfg.Session.NoAcks {
		e.fill(now)
		return nil
	}
	// Only when all that was told is acknowledged do both sides speak of the same table.
	settled := e.toTell.Len() == 0 && e.session.Empty(link.Binds)
	switch {
	case e.retelling == beginning && e.session.Empty(link.Binds):
		e.retelling = telling
		for ev := range e.rules.Told {
			e.toTell.Add(table.Event{Bound: true, Binder: ev.Binder, Name: ev.Name})
		}
		return &link.Table{Kind: link.TableBegin}
	case e.retelling == telling && settled:
		e.retelling = toldOnce
		e.digestAt = now.Add(e.cfg.DigestEvery)
		return &link.Table{Kind: link.TableEnd}
	case e.retelling == toldOnce && settled && e.digestAt.IsZero():
		e.digestAt = now.Add(e.cfg.DigestEvery)
	case e.retelling == toldOnce && settled && !now.Before(e.digestAt):
		e.digestAt = now.Add(e.cfg.DigestEvery)
		d := e.rules.ToldDigest()
		return &link.Table{Kind: link.TableDigest, Names: d.Names, Sum: d.Sum}
	}
	if e.retelling != beginning {
		e.fill(now)
	}
	return nil
}

// fill moves what the peer is to be told into the session, while its lane has room.
func (e *Epoch) fill(now time.Time) {
	for e.toTell.Len() > 0 && e.session.Room(link.Binds) {
		for _, ev := range e.toTell.Take(1) {
			e.session.Put(now, link.Binds, e.bindMessage(ev))
		}
	}
}

// takeTable takes what the peer says of its table.
func (e *Epoch) takeTable(f *link.Table) {
	switch f.Kind {
	case link.TableDigest:
		if heard, whole := e.rules.HeardDigest(); whole && heard != (translate.Digest{Names: f.Names, Sum: f.Sum}) {
			e.counts.Resyncs++
			e.wants.resync = true
		}
	case link.TableResync:
		e.retelling = beginning
	case link.TableBegin, link.TableEnd:
		e.apply(e.rules.PeerSnapshot(e.fx[:0], f.Kind == link.TableBegin))
	}
}

// An interest is what the peer wants to hear, and what it is to be told that we want.
type interest struct {
	limited bool // the peer tells what it wants; else it wants everything
	names   *table.Interest
	whole   bool // all that it wants is known
	cut     cut
	hearing hearing
	most    int // names
	bytes   int // of them
	room    translate.Names
	crowded bool // it wants more names, and so everything, until it tells anew

	// What the peer is to be told that is wanted here.
	toTell  wish
	telling bool
	begun   bool // the first frame of the whole has been sent
	toldAll bool
	resync  bool
}

// The one source in an interest's names.
const thePeer table.Source = 1

func newInterest(cfg EpochConfig) interest {
	limited := cfg.Interest && !cfg.AllInterest
	return interest{
		limited: limited,
		most:    cfg.MaxNames,
		room:    cfg.Names,
		names:   table.NewInterest(),
		cut:     newCut(cfg.Rules, cfg.Renames),
		hearing: newHearing(limited && cfg.Narrows, &cfg.Config),
		toTell:  newWish(cfg.Renames),
	}
}

// wants reports whether the peer wants messages of this name.
func (w *interest) wants(name string) bool {
	return !w.limited || !w.whole || w.names.Wants(0, name)
}

// untold returns how many changes the peer is still to be told of.
func (w *interest) untold() int {
	if !w.telling {
		return 0
	}
	return w.toTell.changes.Len()
}

// lost notes that the stream has ended: what the peer wants is told anew on the next
// one, and until then what is known still holds.
func (w *interest) lost() { w.telling = false }

// take takes what the peer says that it wants, by the names here, and cuts it down to what
// it may hear.
func (w *interest) take(f *link.Interest) error {
	for _, name := range f.Wanted {
		if kbusdev.CheckBindName(name) != nil {
			return link.Errorf(link.Protocol, "the peer wants %.100q, which is not a name", name)
		}
	}
	if f.Restart {
		w.restart()
		w.crowded = false
	}
	if !w.cut.take(f, w.most) {
		w.crowd()
	}
	w.change(f)
	if f.Whole && !w.crowded {
		w.whole = true
		w.hearing.narrow()
	}
	return nil
}

// change notes names that are wanted, or no longer.
func (w *interest) change(f *link.Interest) {
	for _, name := range f.Wanted {
		if !w.crowded && !w.fits(name) {
			w.crowd()
		}
		if w.crowded {
			return
		}
		if _, first := w.names.Add(thePeer, name); first {
			w.bytes += len(name)
			w.hearing.want(name, true)
		} else {
			w.give(1)
		}
	}
	for _, name := range f.Unwanted {
		if w.crowded {
			return
		}
		before := w.names.Len(thePeer)
		if _, last := w.names.Remove(thePeer, name); last {
			w.hearing.want(name, false)
		}
		if w.names.Len(thePeer) < before {
			w.bytes -= len(name)
			w.give(1)
		}
	}
}

// crowd notes that the peer wants more names than it may: it counts as wanting everything
// until it tells anew.
func (w *interest) crowd() {
	w.restart()
	w.cut = newCut(w.cut.policy, w.cut.renames)
	w.crowded = true
}

// fits reports whether there is room for one name more, which it takes.
func (w *interest) fits(name string) bool {
	return w.names.Len(thePeer) < w.most && w.bytes+len(name) <= 64*w.most && (w.room == nil || w.room.Take(1))
}

func (w *interest) give(n int) {
	if w.room != nil {
		w.room.Give(n)
	}
}

// forget forgets the names.
func (w *interest) forget() {
	w.give(w.names.Len(thePeer))
	w.names.Drop(thePeer)
	w.bytes = 0
}

// restart makes the peer want everything until it has told anew.
func (w *interest) restart() {
	w.forget()
	w.whole = false
	w.hearing.restart()
}

// WantsAll reports whether the peer has told of more names than it may, and so counts as
// wanting everything until it tells anew.
func (e *Epoch) WantsAll() bool { return e.wants.crowded }

// Listening returns what is to change of what our Ksock listens to, in order. It is
// called after each Interest that TakeFrame has taken, until it returns nothing: then
// what it returned before counts as done. Nobody else may be told before what the peer
// wants, for what is sent for its sake might come before the Ksock listens to it.
func (e *Epoch) Listening() []Listen {
	if r := e.rec; r != nil {
		return r.listening(e)
	}
	return e.wants.hearing.take()
}

// Interest starts to tell the peer which names are wanted here: all of them. It is
// called when a stream is attached, and WantChanged after it.
func (e *Epoch) Interest(names []string) {
	if r := e.rec; r != nil {
		r.interest(e, names)
		return
	}
	w := &e.wants
	w.toTell, w.telling, w.begun, w.toldAll = newWish(e.cfg.Renames), true, false, false
	for _, name := range names {
		w.toTell.want(name, true)
	}
}

// WantChanged tells the peer that a name is wanted here now, or no longer.
func (e *Epoch) WantChanged(name string, wanted bool) {
	if r := e.rec; r != nil {
		r.wantChanged(e, name, wanted)
		return
	}
	if e.wants.telling {
		e.wants.toTell.want(name, wanted)
	}
}

// Wants reports whether the peer is known to want messages of this name.
func (e *Epoch) Wants(name string) bool {
	w := &e.wants
	return e.why == nil && (!w.limited || w.whole && w.hearing.settled()) && w.wants(name) && e.cfg.Rules.May(rules.Listen, name)
}

// pending reports whether frame has something to tell.
func (w *interest) pending() bool {
	return w.resync || w.telling && (!w.toldAll || w.toTell.changes.Len() > 0)
}

// frame returns what the peer is to be told next about interest or tables at once, nil
// if there is nothing.
func (w *interest) frame() link.Frame {
	if w.resync {
		w.resync = false
		return &link.Table{Kind: link.TableResync}
	}
	if !w.pending() {
		return nil
	}
	f := &link.Interest{Restart: !w.begun}
	changes := w.toTell.changes
	for size := 0; size < link.MaxBatchBytes && changes.Len() > 0 && len(f.Wanted)+len(f.Unwanted) < link.MaxInterestNames; {
		ev := changes.Take(1)[0]
		size += len(ev.Name) + 4
		if ev.Bound {
			f.Wanted = append(f.Wanted, ev.Name)
		} else {
			f.Unwanted = append(f.Unwanted, ev.Name)
		}
	}
	w.begun = true
	if changes.Len() == 0 {
		f.Whole, w.toldAll = true, true
	}
	return f
}
