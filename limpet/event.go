package limpet

import (
	"encoding/json"
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/tape"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// An eventKind is a method of an epoch. The numbers are those of the record.
type eventKind uint8

const (
	evAttach eventKind = iota + 1
	evDetach
	evEnd
	evAdopt
	evDrain
	evStuck
	evTick
	evWantsSnapshot
	evSnapshotAsked
	evQueueFull
	evFromBus
	evDos
	evOutcomes
	evNextFrame
	evFlushed
	evTakeFrame
	evControl
	evListening
	evInterest
	evWantChanged
	evOweTopology
	evTopologyDue
	evTopologyTold
	evSetRules
	evRestarted
	evClosed
	evSay
)

// An event is one call of an epoch's method: what it was given, and what has come of it. A
// field that is both is the latter once the call has returned.
type event struct {
	kind     eventKind
	now      time.Time
	number   uint64
	truth    bool
	name     string
	names    []string
	err      error
	msgs     []*kbusdev.Message
	carried  []link.Outgoing
	frame    link.Frame
	again    time.Time
	dos      []Do // of Outcomes only Errno counts
	networks []uint32
	policy   *rules.Policy
	listen   []Listen
	interest *link.Interest
	totals   *Totals
}

// head takes what every event has.
func (ev *event) head(t *tape.Tape) {
	t.Uint8((*uint8)(&ev.kind), uint8(evSay))
	t.Now(&ev.now)
}

// inputs takes what the method was given.
func (ev *event) inputs(t *tape.Tape) {
	switch ev.kind {
	case evAttach:
		t.Uint64(&ev.number)
	case evDetach:
		link.TapeError(t, &ev.err)
	case evEnd:
		link.TapeError(t, &ev.err)
		t.Bool(&ev.truth)
	case evAdopt:
		tape.Slice(t, &ev.carried, func(out *link.Outgoing) { link.TapeOutgoing(t, out) })
	case evDrain:
		t.String(&ev.name)
	case evSnapshotAsked:
		t.Uint64(&ev.number)
		t.Bool(&ev.truth)
	case evQueueFull:
		t.Bool(&ev.truth)
	case evFromBus:
		ev.tapeMessages(t)
	case evOutcomes:
		ev.tapeErrnos(t)
	case evTakeFrame, evControl, evSay:
		link.TapeFrame(t, &ev.frame)
	case evInterest:
		tape.Slice(t, &ev.names, t.Name)
	case evWantChanged:
		t.Name(&ev.name)
		t.Bool(&ev.truth)
	case evSetRules:
		tapePolicy(t, &ev.policy)
	case evRestarted:
		tape.Slice(t, &ev.networks, t.Uint32)
	default: // nothing but the time
	}
}

// outputs takes what has come of it.
func (ev *event) outputs(t *tape.Tape) {
	switch ev.kind {
	case evAttach, evControl:
		link.TapeError(t, &ev.err)
	case evStuck, evWantsSnapshot, evQueueFull, evFromBus, evOweTopology, evTopologyDue:
		t.Bool(&ev.truth)
	case evDos:
		tape.Slice(t, &ev.dos, func(d *Do) { d.tape(t) })
	case evNextFrame:
		link.TapeFrame(t, &ev.frame)
		t.Time(&ev.again)
		t.Bool(&ev.truth)
	case evTakeFrame:
		link.TapeError(t, &ev.err)
		link.TapeFrame(t, &ev.frame) // an Interest, cut down to what the peer may hear
	case evListening:
		tape.Slice(t, &ev.listen, func(l *Listen) { l.tape(t) })
	case evSetRules:
		tape.Pointer(t, &ev.interest, func(f *link.Interest) { link.TapeInterest(t, f) })
	case evClosed:
		if t.Reading() {
			ev.totals = new(Totals)
		}
		ev.totals.tape(t)
	default: // nothing
	}
}

func (ev *event) tapeMessages(t *tape.Tape) {
	if !t.Reading() {
		n := len(ev.msgs)
		t.Count(&n)
		for _, m := range ev.msgs {
			t.Message(m)
		}
		return
	}
	tape.Slice(t, &ev.msgs, func(m **kbusdev.Message) {
		*m = new(kbusdev.Message)
		t.Message(*m)
	})
}

// tapeErrnos takes how many things were done, and which of them failed.
func (ev *event) tapeErrnos(t *tape.Tape) {
	n, failed := len(ev.dos), 0
	for i := range ev.dos {
		if ev.dos[i].Errno != 0 {
			failed++
		}
	}
	t.Count(&n)
	t.Count(&failed)
	if t.Reading() {
		if n > 1<<16 || failed > n {
			t.Fail("%d things were done at once, and %d failed", n, failed)
			return
		}
		ev.dos = make([]Do, n)
	}
	next := 0
	for range failed {
		for !t.Reading() && ev.dos[next].Errno == 0 {
			next++
		}
		errno := uint32(0)
		if !t.Reading() {
			errno = uint32(ev.dos[next].Errno)
		}
		t.Count(&next)
		t.Uint32(&errno)
		if t.Err() != nil || next >= n {
			t.Fail("the %d. thing failed, of %d", next, n)
			return
		}
		ev.dos[next].Errno = syscall.Errno(errno)
		next++
	}
}

// tapePolicy takes the rules of a policy, as they stand in a configuration.
func tapePolicy(t *tape.Tape, p **rules.Policy) {
	var text string
	if !t.Reading() {
		text = marshal((*p).Rules())
	}
	t.String(&text)
	if !t.Reading() || t.Err() != nil {
		return
	}
	var all []rules.Rule
	err := json.Unmarshal([]byte(text), &all)
	if err == nil {
		*p, err = rules.Again(all)
	}
	if err != nil {
		t.Fail("the rules: %v", err)
	}
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // these values have nothing that could not be
		panic(err)
	}
	return string(b)
}

// The kinds of notes.
const (
	noNote uint8 = iota // the last
	noteEffect
	noteClaim
	noteRead
	noteTake
	noteGive
	noteChanges
	noteElsewhere
	numNotes
)

// A note is something between what an event brings and what comes of it: what others have
// answered, or what the rules have decided.
type note struct {
	kind   uint8
	effect translate.Kind
	reason translate.Reason
	number uint64
	truth  bool
}

func (n *note) tape(t *tape.Tape) {
	t.Uint8(&n.kind, numNotes-1)
	switch n.kind {
	case noteEffect:
		t.Uint8((*uint8)(&n.effect), uint8(translate.Stop))
		t.Uint8((*uint8)(&n.reason), uint8(translate.NumReasons-1))
	case noteClaim:
		t.Bool(&n.truth)
	case noteRead, noteGive, noteChanges:
		t.Uint64(&n.number)
	case noteTake, noteElsewhere:
		t.Uint64(&n.number)
		t.Bool(&n.truth)
	}
}
