package verify

import (
	"bytes"
	"crypto/sha256"
	"io"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/record"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// Context is how many events before a difference are told.
const Context = 5

// A Config is how files are played. The zero value is right for most.
type Config struct {
	// Inspect, unless nil, is shown what the machines make of each message, and may change
	// it: then these are other machines. See limpet.EpochConfig.
	Inspect func(where string, m *kbusdev.Message, fx *translate.Effect)
}

// A Result is what became of one file.
type Result struct {
	// Header is what the file says of itself.
	Header record.Header
	// Events is how many were played.
	Events uint64
	// Ended is how the file ends, one of record.EndedCut and the others, and Why what is
	// wrong there if it is cut.
	Ended string
	Why   error
	// Difference is the first difference, nil if there is none, and Before what was told
	// and done in the events before it, or before the end.
	Difference *limpet.Difference
	Before     []Event

	begin, end [sha256.Size]byte // of the states, if there is no difference
}

// An Event is one in words.
type Event struct {
	// Number is its number in the epoch, from 1.
	Number uint64
	// Lines say what it was, and what has come of it.
	Lines []string
}

// File plays a file. The error says that it cannot be played: it is no record, of another
// format (*record.FormatError), or damaged in its beginning, or an event in it cannot be
// read, though its checksum is right.
func File(from io.Reader, cfg Config) (*Result, error) {
	r, err := record.NewReader(from)
	if err != nil {
		return nil, err
	}
	p, err := limpet.NewPlayer(r.Header(), r.State(), cfg.Inspect)
	if err != nil {
		return nil, err
	}
	res := &Result{Header: *r.Header(), begin: sha256.Sum256(r.State())}
	var before recent
	for {
		event, err := r.Next()
		if err != nil {
			break
		}
		before.add(p, event, res.Header.First+res.Events)
		if res.Difference, err = p.Play(event); err != nil {
			return res, err
		}
		if res.Difference != nil {
			res.Before = before.lines(1)
			return res, nil
		}
		res.Events++
	}
	res.Before = before.lines(0)
	res.Ended, res.Why = r.Ended()
	res.end = sha256.Sum256(p.State())
	return res, nil //nolint:nilerr // what ended it is in Why
}

// recent are the latest events, and the players as they were before each. An event is put in
// words only when it is asked for.
type recent struct {
	events [Context + 1]struct {
		number   uint64
		describe func() ([]string, error)
	}
	n int
}

func (c *recent) add(p *limpet.Player, event []byte, number uint64) {
	e := &c.events[c.n%len(c.events)]
	e.number, e.describe = number, p.Describer(bytes.Clone(event))
	c.n++
}

// lines returns all but so many of the last.
func (c *recent) lines(but int) (all []Event) {
	for i := max(0, c.n-len(c.events)); i < c.n-but; i++ {
		e := &c.events[i%len(c.events)]
		lines, err := e.describe()
		if err != nil {
			lines = []string{err.Error()}
		}
		all = append(all, Event{e.number, lines})
	}
	return all
}

// Follows reports whether a file goes on where this one, which was played to its end, ends:
// of the same epoch, the next part, without a gap. same reports whether it begins with the
// state in which the machines of this version ended this one.
func (res *Result) Follows(next *Result) (follows, same bool) {
	h, n := &res.Header, &next.Header
	if n.Session != h.Session || n.Part != h.Part+1 || n.Begins != record.Rotated || res.Difference != nil || res.Ended != record.EndedWhole {
		return false, false
	}
	return true, res.end == next.begin
}
