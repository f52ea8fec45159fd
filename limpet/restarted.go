package limpet

import (
	"maps"
	"slices"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// When the daemon of a network is another one than before, limpets forget the ids of its
// messages, for they may come again. Who does not know any more what it had of the daemon
// before must not get that again from an earlier session: it would be heard twice. So what
// the peer may have of it, and has not acknowledged, counts as lost with the link.

// Restarted notes that the daemon of a network is another one than before, at a moment
// before the peer is told so.
func (e *Epoch) Restarted(now time.Time, network uint32) {
	acked := e.session.Acknowledged()
	maps.DeleteFunc(e.restarted, func(_ uint32, sent uint64) bool { return sent <= acked })
	if e.restarted == nil {
		e.restarted = make(map[uint32]uint64)
	}
	e.restarted[network] = e.session.Stats().Sent
	e.carried = LoseRestarted(e.carried, network, e.counts)
	if e.why != nil {
		return
	}
	e.withdraw(now, func(out *link.Outgoing, _ time.Time) bool {
		if !out.Again || out.Msg.ID.Network != network {
			return false
		}
		e.counts.fromBus(translate.LinkLost, &out.Msg)
		return true
	})
}

// LoseRestarted returns what is left for a peer's next epoch, of what was Carried from the
// last one, when the daemon of a network is another one. It counts what is lost.
func LoseRestarted(carried []link.Outgoing, network uint32, totals *Totals) []link.Outgoing {
	return slices.DeleteFunc(carried, func(out link.Outgoing) bool {
		if !out.Again || out.Msg.ID.Network != network {
			return false
		}
		totals.fromBus(translate.LinkLost, &out.Msg)
		return true
	})
}

// heardTwice reports whether the peer may have a message of a daemon that is gone, and
// would not know it again; seq is its number if it was handed to a stream.
func (e *Epoch) heardTwice(out *link.Outgoing, handed bool, seq uint64) bool {
	sent, restarted := e.restarted[out.Msg.ID.Network]
	return restarted && (out.Again || handed && seq <= sent)
}
