package verify

import (
	"fmt"
	"io"

	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/record"
)

// Cut writes to out a record of the last events of a file, up to its first difference, or
// to its end if there is none: at least keep of them, if there are as many. from is read
// twice. The result is that of the file, up to there.
func Cut(from io.ReadSeeker, out io.Writer, keep uint64) (*Result, error) {
	res, err := File(from, Config{})
	if err != nil {
		return nil, err
	}
	last := res.Events // so many events are to be in front of the end
	if res.Difference != nil {
		last++
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r, err := record.NewReader(from)
	if err != nil {
		return nil, err
	}
	// The place to begin is where nothing is under way, and as late as possible: it is looked
	// for on the way there.
	begin, err := lastRest(r, last-min(keep, last))
	if err != nil {
		return nil, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if r, err = record.NewReader(from); err != nil {
		return nil, err
	}
	b, err := cut(r, begin, last)
	if err != nil {
		return nil, err
	}
	_, err = out.Write(b)
	return res, err
}

// lastRest returns how many events of a file lead to the last place, behind most of them at
// the latest, at which a file can begin.
func lastRest(r *record.Reader, most uint64) (events uint64, err error) {
	p, err := limpet.NewPlayer(r.Header(), r.State(), nil)
	if err != nil {
		return 0, err
	}
	for n := range most {
		event, err := r.Next()
		if err != nil {
			return 0, err
		}
		if d, err := p.Play(event); err != nil || d != nil {
			return 0, fmt.Errorf("event %d was good a moment ago: has the file changed? (%w)", n+1, err)
		}
		if p.Resting() {
			events = n + 1
		}
	}
	return events, nil
}

// cut returns a file of the events behind the first, up to last.
func cut(r *record.Reader, first, last uint64) ([]byte, error) {
	p, err := limpet.NewPlayer(r.Header(), r.State(), nil)
	if err != nil {
		return nil, err
	}
	for range first {
		event, err := r.Next()
		if err != nil {
			return nil, err
		}
		if _, err := p.Play(event); err != nil {
			return nil, err
		}
	}
	h := *r.Header()
	state, again := p.Beginning(&h)
	b, err := record.AppendStart(nil, &h, state)
	if err != nil {
		return nil, err
	}
	var block []byte
	for range last - first {
		event, err := r.Next()
		if err != nil {
			return nil, err
		}
		if event, err = again(event); err != nil {
			return nil, err
		}
		if len(block)+len(event) > record.MaxBlock/2 {
			b, block = record.AppendEvents(b, block), nil
		}
		block = record.AppendEvent(block, event)
	}
	if len(block) > 0 {
		b = record.AppendEvents(b, block)
	}
	return record.AppendEnd(b), nil
}
