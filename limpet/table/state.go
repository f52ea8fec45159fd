package table

import (
	"cmp"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/tape"
)

// Tape takes what waits, or adds it to what was empty.
func (p *Pending) Tape(t *tape.Tape) {
	n := p.order.Len()
	t.Count(&n)
	if !t.Reading() {
		for el := p.order.Front(); el != nil; el = el.Next() {
			e := el.Value.(Event)
			tapeEvent(t, &e)
		}
		return
	}
	for range n {
		var e Event
		if tapeEvent(t, &e); t.Err() != nil {
			return
		}
		p.Add(e) // in the order in which they stood, so that they stand so again
	}
}

func tapeEvent(t *tape.Tape, e *Event) {
	t.Bool(&e.Listener)
	t.Bool(&e.Bound)
	t.Ksock(&e.Binder)
	t.Name(&e.Name)
}

// Tape takes what the sources want, or adds it to what was empty.
func (i *Interest) Tape(t *tape.Tape) {
	type wanted struct {
		source Source
		name   string
		times  uint32
	}
	var all []wanted
	if !t.Reading() {
		for source, names := range i.bySource {
			for name, times := range names {
				all = append(all, wanted{source, name, times})
			}
		}
		slices.SortFunc(all, func(a, b wanted) int {
			return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.name, b.name))
		})
	}
	tape.Slice(t, &all, func(w *wanted) {
		t.Uint32((*uint32)(&w.source))
		t.Name(&w.name)
		t.Uint32(&w.times)
		switch {
		case !t.Reading() || t.Err() != nil:
		case kbusdev.CheckBindName(w.name) != nil || w.times == 0:
			t.Fail("%.100q is wanted %d times", w.name, w.times)
		default:
			i.Add(w.source, w.name)
			i.bySource[w.source][w.name] = w.times
		}
	})
}
