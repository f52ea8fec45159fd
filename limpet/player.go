package limpet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/record"
	"github.com/kbus-limpet/limpet/limpet/tape"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A Player plays a record to the machines of this version. What they make of an event is
// recorded again, as it was the first time: so it is the same, or it differs. Its memory
// is that of the epoch which was recorded. It is not safe for concurrent use.
type Player struct {
	epoch  *Epoch
	rec    *recorder
	told   *tape.Tape
	asks   answers
	dos    []Do // under way
	last   bytes.Buffer
	number uint64
}

// A Difference is an event of which the machines now make something else.
type Difference struct {
	// Event is its number in the epoch, from 1, and At when it was.
	Event uint64
	At    time.Time
	// What is what the machines were told.
	What []string
	// Recorded is what came of it then, Now what comes of it now, both line by line from
	// the first line that differs, and Same how many before it do not.
	Recorded, Now []string
	Same          int
}

// NewPlayer returns a player of a file that begins so. inspect, unless nil, is
// EpochConfig.Inspect of the epoch; what it changes of an effect is changed. The error says
// what is wrong with the header or the state.
func NewPlayer(h *record.Header, state []byte, inspect func(where string, m *kbusdev.Message, fx *translate.Effect)) (p *Player, err error) {
	p = &Player{told: tape.Open(h.Base, h.Data), number: h.First - 1}
	var described recordedEpoch
	if err := json.Unmarshal(h.Epoch, &described); err != nil {
		return nil, fmt.Errorf("what the epoch was made with: %w", err)
	}
	cfg, err := described.again(h.NetworkID, h.PeerNetworkID, &p.asks)
	if err != nil {
		return nil, fmt.Errorf("what the epoch was made with: %w", err)
	}
	cfg.Inspect = inspect
	cfg.Record = &Recording{Sink: (*playedSink)(&p.last), Data: h.Data}
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("the state cannot be taken: %v", why)
		}
	}()
	p.epoch = NewEpoch(cfg, h.Base)
	p.rec = p.epoch.rec
	p.rec.begun, p.rec.ok, p.rec.now = true, true, h.Base
	p.rec.events = tape.New(h.Base, h.Data)
	from := tape.Open(h.Base, h.Data)
	from.Next(state)
	p.epoch.tape(from)
	from.Uint64(&p.rec.changes)
	from.End()
	p.asks.changes = p.rec.changes
	if from.Err() != nil {
		return nil, fmt.Errorf("the state: %w", from.Err())
	}
	return p, nil
}

// State returns the state of the machines now, as a file that goes on here begins with it.
func (p *Player) State() []byte { return p.rec.state(p.epoch) }

// Describer returns a function that returns an event in words, line by line. It is called
// before Play of the event, which must not change afterwards.
func (p *Player) Describer(event []byte) func() ([]string, error) {
	told := p.told.Copy()
	return func() ([]string, error) {
		e, err := decode(told.Copy(), event)
		if err != nil {
			return nil, err
		}
		return append(e.what(), e.came()...), nil
	}
}

// Play tells the machines the next event, and returns how they differ from what was recorded;
// nil if they do not. After a difference there is nothing more to be compared. The error
// says that the event cannot be read.
func (p *Player) Play(event []byte) (*Difference, error) {
	p.number++
	before := p.told.Copy() // names and times as they were
	was, err := decode(p.told, event)
	if err != nil {
		return nil, fmt.Errorf("event %d: %w", p.number, err)
	}
	p.asks.notes = was.notes
	p.last.Reset()
	why := p.perform(&was.in)
	if why == "" && bytes.Equal(p.last.Bytes(), event) {
		return nil, nil //nolint:nilnil // no difference
	}
	if was, err = decode(before.Copy(), event); err != nil { // the machines may have changed what they were given
		return nil, fmt.Errorf("event %d: %w", p.number, err)
	}
	d := &Difference{Event: p.number, At: was.in.now, What: was.what()}
	then, now := was.came(), []string{why}
	if why == "" {
		is, err := decode(before, p.last.Bytes())
		if err != nil {
			return nil, fmt.Errorf("event %d: what comes of it now: %w", p.number, err)
		}
		now = is.came()
	}
	for d.Same < min(len(then), len(now)) && then[d.Same] == now[d.Same] {
		d.Same++
	}
	d.Recorded, d.Now = then[d.Same:], now[d.Same:]
	return d, nil
}

// Resting reports whether a file could begin here: nothing that the machines have asked for
// is under way.
func (p *Player) Resting() bool { return p.epoch.doing == 0 }

// Beginning returns the state of a file that begins here, and changes the header of the one
// that is played to its header. again returns each event that follows as that file has it.
func (p *Player) Beginning(h *record.Header) (state []byte, again func(event []byte) ([]byte, error)) {
	h.Begins, h.Lost, h.First, h.Base, h.Epoch = record.Cut, 0, p.number+1, p.rec.now, describeEpoch(&p.epoch.cfg)
	from, to := p.told.Copy(), tape.New(p.rec.now, h.Data)
	return p.State(), func(event []byte) ([]byte, error) {
		d, err := decode(from, event)
		if err != nil {
			return nil, err
		}
		to.Reset()
		d.tape(to)
		return to.Bytes(), nil
	}
}

// perform calls the epoch as an event says. why says what was wrong with that: the machines
// have panicked, for one.
func (p *Player) perform(ev *event) (why string) {
	defer func() {
		if r := recover(); r != nil {
			why = fmt.Sprintf("the machines panic: %v\n%s", r, debug.Stack())
		}
	}()
	e := p.epoch
	switch ev.kind {
	case evAttach:
		_ = e.Attach(ev.now, ev.number)
	case evDetach:
		e.Detach(ev.now, ev.err)
	case evEnd:
		e.End(ev.now, ev.err, ev.truth)
	case evAdopt:
		e.Adopt(ev.now, ev.carried)
	case evDrain:
		e.Drain(ev.name)
	case evStuck:
		e.Stuck(ev.now)
	case evTick:
		e.Tick(ev.now)
	case evWantsSnapshot:
		p.rec.snapshotTaken(e)
	case evSnapshotAsked:
		p.rec.snapshotAsked(e, int(ev.number), ev.truth)
	case evQueueFull:
		p.rec.queueFull(e, ev.truth)
	case evFromBus:
		e.FromBus(ev.now, ev.msgs)
	case evDos:
		p.dos = e.Dos(ev.now, p.dos[:0])
	case evOutcomes:
		if len(ev.dos) != len(p.dos) {
			return fmt.Sprintf("%d things are under way, not %d", len(p.dos), len(ev.dos))
		}
		for i := range p.dos {
			p.dos[i].Errno = ev.dos[i].Errno
		}
		e.Outcomes(ev.now, p.dos)
		clear(p.dos)
		p.dos = p.dos[:0]
	case evNextFrame:
		e.NextFrame(ev.now)
	case evFlushed:
		e.Flushed(ev.now)
	case evTakeFrame:
		_ = e.TakeFrame(ev.now, ev.frame)
	case evControl:
		_ = e.Control(ev.now, ev.frame)
	case evListening:
		e.Listening()
	case evInterest:
		e.Interest(ev.names)
	case evWantChanged:
		e.WantChanged(ev.name, ev.truth)
	case evOweTopology:
		e.OweTopology()
	case evTopologyDue:
		p.rec.topologyTaken(e, ev.now)
	case evTopologyTold:
		e.TopologyTold(ev.now)
	case evSetRules:
		e.SetRules(ev.policy)
	case evRestarted:
		e.Restarted(ev.now, ev.networks)
	case evClosed:
		e.Closed()
	case evSay:
		e.Say(ev.frame)
	}
	return ""
}

// A decoded is an event that was read.
type decoded struct {
	in, out event // as it began, and as it ended
	notes   []note
}

func decode(t *tape.Tape, b []byte) (*decoded, error) {
	d := new(decoded)
	t.Next(b)
	d.tape(t)
	t.End()
	if t.Err() != nil {
		return nil, fmt.Errorf("it cannot be read: %w", t.Err())
	}
	return d, nil
}

// tape takes the event, as a recorder writes it.
func (d *decoded) tape(t *tape.Tape) {
	d.in.head(t)
	if d.in.kind == 0 {
		t.Fail("an event of kind 0, which there is not")
	}
	d.in.inputs(t)
	if t.Reading() {
		for t.Err() == nil {
			var n note
			if n.tape(t); n.kind == noNote {
				break
			}
			d.notes = append(d.notes, n)
		}
		d.out.kind, d.out.now = d.in.kind, d.in.now
	} else {
		for i := range d.notes {
			d.notes[i].tape(t)
		}
		last := note{}
		last.tape(t)
	}
	d.out.outputs(t)
}

// playedSink takes what a played event has become.
type playedSink bytes.Buffer

// Begin is record.Sink's, like the methods below. A player never begins another file.
func (*playedSink) Begin(*record.Header, []byte) bool { return true }

// Append keeps the event.
func (s *playedSink) Append(event []byte) record.Verdict {
	b := (*bytes.Buffer)(s)
	b.Reset()
	b.Write(event)
	return record.Taken
}

// Ready reports true.
func (*playedSink) Ready() bool { return true }

// End does nothing.
func (*playedSink) End() {}

// answers are what was answered to the epoch when it was recorded. An answer to what was
// not asked then is no; the difference shows.
type answers struct {
	notes   []note
	changes uint64
}

// next returns the next answer if it is one of a kind.
func (a *answers) next(kind uint8) (n note, ok bool) {
	for i := range a.notes {
		switch n := a.notes[i]; n.kind {
		case noteEffect, noteRead, noteGive:
		case kind:
			a.notes = a.notes[i+1:]
			return n, true
		default:
			return note{}, false
		}
	}
	return note{}, false
}

// Claim is IDs', like Read.
func (a *answers) Claim(kbusdev.MsgID, time.Time) bool {
	n, _ := a.next(noteClaim)
	return n.truth
}

// Read needs no answer.
func (*answers) Read(kbusdev.MsgID, kbusdev.KsockID, time.Time) {}

// Take is translate.Names', like Give.
func (a *answers) Take(int) bool {
	n, _ := a.next(noteTake)
	return n.truth
}

// Give needs no answer.
func (*answers) Give(int) {}

// Changes is Origins', like Elsewhere.
func (a *answers) Changes() uint64 {
	if n, ok := a.next(noteChanges); ok {
		a.changes = n.number
	}
	return a.changes
}

// Elsewhere returns what was answered.
func (a *answers) Elsewhere(uint32) bool {
	n, _ := a.next(noteElsewhere)
	return n.truth
}
