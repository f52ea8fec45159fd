package limpet

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/record"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/tape"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A Recording says where an epoch's decisions are recorded.
type Recording struct {
	// Sink takes them. Its methods are called under the lock of the epoch.
	Sink record.Sink
	// Link is the name of the link, for people.
	Link string
	// Data has messages recorded with their data, which the machines do not look at.
	Data bool
}

// A recorder writes down what an epoch is told and what comes of it. Each method of the
// epoch that changes it begins by asking whether there is a recorder, and lets that one
// call it again: so an event is what came from outside, not what the epoch does itself.
type recorder struct {
	to     Recording
	events *tape.Tape
	ev     event
	now    time.Time // the latest
	begun  bool      // a file has been begun; what is lost is lost then
	ok     bool      // one is being written
	full   bool      // it is to be followed by another
	inside bool      // of an event: what is asked otherwise changes nothing
	part   int
	count  uint64 // the events so far
	lost   uint64 // of these, since the end of the last file

	changes uint64 // of Origins, as last told
}

func newRecorder(to *Recording) *recorder {
	if to == nil {
		return nil
	}
	return &recorder{to: *to}
}

// start begins an event. The epoch does not record what it does until done.
func (r *recorder) start(e *Epoch, k eventKind, now time.Time) *event {
	if !now.IsZero() {
		r.now = now
	}
	if !r.begun {
		r.begun = true
		r.file(e, record.Begun)
	}
	e.rec = nil
	if r.ok {
		e.note = r
	}
	r.count++
	r.inside = true
	r.ev = event{kind: k, now: r.now}
	return &r.ev
}

// given writes down what the event brings.
func (r *recorder) given() {
	if r.ok {
		r.events.Reset()
		r.ev.head(r.events)
		r.ev.inputs(r.events)
	}
}

// done writes down what has come of the event.
func (r *recorder) done(e *Epoch) {
	e.rec, e.note, r.inside = r, nil, false
	if r.ok {
		last := note{}
		last.tape(r.events)
		r.ev.outputs(r.events)
		switch r.to.Sink.Append(r.events.Bytes()) {
		case record.Taken:
		case record.Full:
			r.full = true
		case record.Lost:
			r.ok = false
		}
	}
	r.ev = event{kind: r.ev.kind} // which holds no memory
	switch {
	case r.ev.kind == evClosed:
		e.rec = nil
		r.to.Sink.End()
	case !r.ok:
		r.lost++
		if e.doing == 0 && r.to.Sink.Ready() {
			r.file(e, record.Gap)
		}
	case r.full && e.doing == 0: // what is being done is no part of the state
		r.file(e, record.Rotated)
	}
}

// file begins a file with the state as it is.
func (r *recorder) file(e *Epoch, why string) {
	header := record.Header{
		Link: r.to.Link, NetworkID: e.cfg.NetworkID, PeerNetworkID: e.cfg.PeerNetworkID, Session: e.cfg.Session.ID.String(), Part: r.part + 1,
		Begins: why, Lost: r.lost, First: r.count + 1, Base: r.now.UTC().Round(0), Data: r.to.Data, Epoch: describeEpoch(&e.cfg),
	}
	r.ok = r.to.Sink.Begin(&header, r.state(e))
	if !r.ok {
		return
	}
	r.part++
	r.lost, r.full = 0, false
	r.events = tape.New(r.now, r.to.Data)
}

// state returns the state of the epoch.
func (r *recorder) state(e *Epoch) []byte {
	t := tape.New(r.now, r.to.Data)
	e.tape(t)
	t.Uint64(&r.changes)
	return t.Bytes()
}

// effect notes what the rules have decided, beside what comes out for the bus and the peer.
func (r *recorder) effect(fx *translate.Effect) {
	r.note(note{kind: noteEffect, effect: fx.Kind, reason: fx.Reason})
}

// What an epoch asks others is an answer that comes from outside: it is noted.

type notedIDs struct {
	r  *recorder
	in IDs
}

func (n notedIDs) Claim(id kbusdev.MsgID, now time.Time) bool {
	fresh := n.in.Claim(id, now)
	n.r.note(note{kind: noteClaim, truth: fresh})
	return fresh
}

func (n notedIDs) Read(id kbusdev.MsgID, from kbusdev.KsockID, now time.Time) {
	n.in.Read(id, from, now)
	n.r.note(note{kind: noteRead, number: uint64(id.Serial)})
}

type notedNames struct {
	r  *recorder
	in translate.Names
}

func (n notedNames) Take(many int) bool {
	taken := n.in.Take(many)
	n.r.note(note{kind: noteTake, number: uint64(many), truth: taken})
	return taken
}

func (n notedNames) Give(many int) {
	n.in.Give(many)
	n.r.note(note{kind: noteGive, number: uint64(many)})
}

type notedOrigins struct {
	r  *recorder
	in Origins
}

func (n notedOrigins) Changes() uint64 {
	changes := n.in.Changes()
	if n.r.inside && changes != n.r.changes {
		n.r.changes = changes
		n.r.note(note{kind: noteChanges, number: changes})
	}
	return changes
}

func (n notedOrigins) Elsewhere(network uint32) bool {
	elsewhere := n.in.Elsewhere(network)
	n.r.note(note{kind: noteElsewhere, number: uint64(network), truth: elsewhere})
	return elsewhere
}

// noted returns the configuration with the recorder between the epoch and whom it asks.
func (r *recorder) noted(cfg EpochConfig) EpochConfig {
	if r == nil {
		return cfg
	}
	cfg.IDs = notedIDs{r, cfg.IDs}
	if cfg.Names != nil {
		cfg.Names = notedNames{r, cfg.Names}
	}
	if cfg.Origins != nil {
		cfg.Origins = notedOrigins{r, cfg.Origins}
	}
	return cfg
}

func (r *recorder) note(n note) {
	if r.ok && r.inside {
		n.tape(r.events)
	}
}

// The methods of the epoch, as events.

func (r *recorder) attach(e *Epoch, now time.Time, peerExpected uint64) error {
	ev := r.start(e, evAttach, now)
	ev.number = peerExpected
	r.given()
	err := e.Attach(now, peerExpected)
	ev.err = err
	r.done(e)
	return err
}

func (r *recorder) detach(e *Epoch, now time.Time, why error) {
	r.start(e, evDetach, now).err = why
	r.given()
	e.Detach(now, why)
	r.done(e)
}

func (r *recorder) end(e *Epoch, now time.Time, why error, carry bool) {
	ev := r.start(e, evEnd, now)
	ev.err, ev.truth = why, carry
	r.given()
	e.End(now, why, carry)
	r.done(e)
}

func (r *recorder) adopt(e *Epoch, now time.Time, carried []link.Outgoing) {
	r.start(e, evAdopt, now).carried = carried
	r.given()
	e.Adopt(now, carried)
	r.done(e)
}

func (r *recorder) drain(e *Epoch, reason string) {
	r.start(e, evDrain, time.Time{}).name = reason
	r.given()
	e.Drain(reason)
	r.done(e)
}

func (r *recorder) stuck(e *Epoch, now time.Time) (stuck bool) {
	ev := r.start(e, evStuck, now)
	r.given()
	stuck = e.Stuck(now)
	ev.truth = stuck
	r.done(e)
	return stuck
}

func (r *recorder) tick(e *Epoch, now time.Time) {
	r.start(e, evTick, now)
	r.given()
	e.Tick(now)
	r.done(e)
}

func (r *recorder) snapshotTaken(e *Epoch) {
	r.start(e, evWantsSnapshot, time.Time{})
	r.given()
	r.ev.truth = e.WantsSnapshot()
	r.done(e)
}

func (r *recorder) snapshotAsked(e *Epoch, queued int, cut bool) {
	ev := r.start(e, evSnapshotAsked, time.Time{})
	ev.number, ev.truth = uint64(queued), cut
	r.given()
	if cut {
		e.SnapshotCut(queued)
	} else {
		e.SnapshotAsked(queued)
	}
	r.done(e)
}

func (r *recorder) queueFull(e *Epoch, full bool) (news bool) {
	r.start(e, evQueueFull, time.Time{}).truth = full
	r.given()
	news = e.QueueFull(full)
	r.ev.truth = news
	r.done(e)
	return news
}

func (r *recorder) fromBus(e *Epoch, now time.Time, msgs []*kbusdev.Message) (terminated bool) {
	r.start(e, evFromBus, now).msgs = msgs
	r.given()
	terminated = e.FromBus(now, msgs)
	r.ev.truth = terminated
	r.done(e)
	return terminated
}

func (r *recorder) dos(e *Epoch, now time.Time, dst []Do) []Do {
	r.start(e, evDos, now)
	r.given()
	before := len(dst)
	dst = e.Dos(now, dst)
	r.ev.dos = dst[before:]
	r.done(e)
	return dst
}

func (r *recorder) outcomes(e *Epoch, now time.Time, dos []Do) {
	r.start(e, evOutcomes, now).dos = dos
	r.given()
	e.Outcomes(now, dos)
	r.done(e)
}

func (r *recorder) nextFrame(e *Epoch, now time.Time) (f link.Frame, again time.Time, over bool) {
	r.start(e, evNextFrame, now)
	r.given()
	f, again, over = e.NextFrame(now)
	r.ev.frame, r.ev.again, r.ev.truth = f, again, over
	r.done(e)
	return f, again, over
}

func (r *recorder) flushed(e *Epoch, now time.Time) {
	r.start(e, evFlushed, now)
	r.given()
	e.Flushed(now)
	r.done(e)
}

func (r *recorder) takeFrame(e *Epoch, now time.Time, f link.Frame) error {
	r.start(e, evTakeFrame, now).frame = f
	r.given()
	err := e.TakeFrame(now, f)
	r.ev.err = err
	if _, changed := f.(*link.Interest); !changed {
		r.ev.frame = nil
	}
	r.done(e)
	return err
}

func (r *recorder) control(e *Epoch, now time.Time, f link.Frame) error {
	r.start(e, evControl, now).frame = f
	r.given()
	err := e.Control(now, f)
	r.ev.err, r.ev.frame = err, nil
	r.done(e)
	return err
}

func (r *recorder) listening(e *Epoch) []Listen {
	r.start(e, evListening, time.Time{})
	r.given()
	changes := e.Listening()
	r.ev.listen = changes
	r.done(e)
	return changes
}

func (r *recorder) interest(e *Epoch, names []string) {
	r.start(e, evInterest, time.Time{}).names = names
	r.given()
	e.Interest(names)
	r.done(e)
}

func (r *recorder) wantChanged(e *Epoch, name string, wanted bool) {
	ev := r.start(e, evWantChanged, time.Time{})
	ev.name, ev.truth = name, wanted
	r.given()
	e.WantChanged(name, wanted)
	r.done(e)
}

func (r *recorder) oweTopology(e *Epoch) (news bool) {
	r.start(e, evOweTopology, time.Time{})
	r.given()
	news = e.OweTopology()
	r.ev.truth = news
	r.done(e)
	return news
}

func (r *recorder) topologyTaken(e *Epoch, now time.Time) {
	r.start(e, evTopologyDue, now)
	r.given()
	r.ev.truth = e.TopologyDue(now)
	r.done(e)
}

func (r *recorder) topologyTold(e *Epoch, now time.Time) {
	r.start(e, evTopologyTold, now)
	r.given()
	e.TopologyTold(now)
	r.done(e)
}

func (r *recorder) say(e *Epoch, f link.Frame) {
	r.start(e, evSay, time.Time{}).frame = f
	r.given()
	e.Say(f)
	r.done(e)
}

func (r *recorder) setRules(e *Epoch, p *rules.Policy) *link.Interest {
	r.start(e, evSetRules, time.Time{}).policy = p
	r.given()
	f := e.SetRules(p)
	r.ev.interest = f
	r.done(e)
	return f
}

func (r *recorder) restarted(e *Epoch, now time.Time, networks []uint32) {
	r.start(e, evRestarted, now).networks = networks
	r.given()
	e.Restarted(now, networks)
	r.done(e)
}

func (r *recorder) closed(e *Epoch) {
	r.start(e, evClosed, time.Time{})
	r.given()
	e.Closed()
	r.ev.totals = e.counts
	r.done(e)
}
