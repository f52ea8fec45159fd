package limpet

import (
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/tap"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// What follows shows messages to the taps. It is called only if there is one, or was a
// moment ago.

// A reading is a message that has been read, and whose fate is not known yet.
type reading struct {
	open   bool
	header tap.Header // as it was read
	sent   bool       // it has been given to our bus, which may refuse it
}

// reads notes a message that has just been read, if somebody looks.
func (t *Totals) reads(m *kbusdev.Message) {
	if t.read.open = t.Tap.On(); t.read.open {
		t.read.header, t.read.sent = tap.HeaderOf(m), false
	}
}

// keep returns the reading for when the message has been given to our bus; nil if nobody
// looks.
func (r *reading) keep() *reading {
	if !r.open {
		return nil
	}
	kept := *r
	kept.sent = true
	return &kept
}

// show shows a message that was handed on.
func (t *Totals) show(d tap.Direction, v tap.Verdict, given *kbusdev.Message) {
	r := tap.Record{Direction: d, Verdict: v, Given: tap.HeaderOf(given)}
	if t.read.open {
		r.Read = t.read.header
	}
	if d == tap.FromPeer {
		r.Here = r.Given.Name
	} else {
		r.Here = r.Read.Name
	}
	t.Tap.Show(&r, given)
	t.read.open = false
}

// showOwn shows an answer of our own.
func (t *Totals) showOwn(d tap.Direction, v tap.Verdict, given *kbusdev.Message) {
	t.Tap.Show(&tap.Record{Direction: d, Verdict: v, Own: true, Given: tap.HeaderOf(given), Here: given.Name}, given)
}

// showDropped shows a message that has ended here. m is as it was read, but for its name if
// it is the peer's; or, if it has been handed on, as it was then.
func (t *Totals) showDropped(d tap.Direction, why translate.Reason, m *kbusdev.Message) {
	r := tap.Record{Direction: d, Verdict: tap.Dropped, Reason: why}
	if t.read.open {
		r.Read = t.read.header
	}
	if !t.read.open || t.read.sent {
		r.Given = tap.HeaderOf(m)
	}
	switch {
	case d == tap.ToPeer: // what waited for the peer may have another name there
		r.Here = r.Read.Name
	case why != translate.NotRenamed:
		r.Here = m.Name
	}
	t.Tap.Show(&r, m)
	t.read.open = false
}
