package limpet

import (
	"slices"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// When the daemon of a network is another one than before, limpets forget the ids of its
// messages, for they may come again. Who does not know any more what it had of the daemon
// before must not get that again from an earlier session: it would be heard twice. So what
// the peer may have of it, and has not acknowledged, counts as lost with the link.

// Restarted notes that the daemons of networks, which are sorted, are others than before, at a
// moment before the peer is told so. It looks once at what the peer has not acknowledged,
// however many networks there are, and remembers no more of them than that has.
func (e *Epoch) Restarted(now time.Time, networks []uint32) {
	if r := e.rec; r != nil {
		r.restarted(e, now, networks)
		return
	}
	if e.carried = LoseRestarted(e.carried, networks, e.counts); e.answered {
		return // what was not acknowledged is in carried
	}
	sent := e.session.Stats().Sent
	held := make(map[uint32]uint64)
	e.session.Unacknowledged(func(out *link.Outgoing, handed bool) {
		if !handed && !out.Again {
			return
		}
		id := out.Msg.ID.Network
		if among(networks, id) {
			held[id] = sent
		} else if before, ok := e.restarted[id]; ok {
			held[id] = before
		}
	})
	if e.restarted = held; e.why != nil {
		return
	}
	e.withdraw(now, func(out *link.Outgoing, _ time.Time) bool {
		if !out.Again || !among(networks, out.Msg.ID.Network) {
			return false
		}
		e.counts.fromBus(translate.LinkLost, &out.Msg)
		return true
	})
}

// LoseRestarted returns what is left for a peer's next epoch, of what was Carried from the
// last one, when the daemons of networks, which are sorted, are others. It counts what is
// lost. carried is not to be used any more.
func LoseRestarted(carried []link.Outgoing, networks []uint32, totals *Totals) []link.Outgoing {
	return slices.DeleteFunc(carried, func(out link.Outgoing) bool {
		if !out.Again || !among(networks, out.Msg.ID.Network) {
			return false
		}
		totals.fromBus(translate.LinkLost, &out.Msg)
		return true
	})
}

func among(networks []uint32, id uint32) bool {
	_, found := slices.BinarySearch(networks, id)
	return found
}

// heardTwice reports whether the peer may have a message of a daemon that is gone, and
// would not know it again; seq is its number if it was handed to a stream.
func (e *Epoch) heardTwice(out *link.Outgoing, handed bool, seq uint64) bool {
	sent, restarted := e.restarted[out.Msg.ID.Network]
	return restarted && (out.Again || handed && seq <= sent)
}
