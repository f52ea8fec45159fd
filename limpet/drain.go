package limpet

import (
	"context"
	"time"
)

// Drain ends the limpet well: the peer is told, no new requests are taken, and
// when the open ones are answered, or ctx or the drain timeout ends, so does the
// link. It returns at once when the limpet has ended.
func (l *Limpet) Drain(ctx context.Context, reason string) {
	if !l.ready.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.DrainTimeout)
	defer cancel()
	l.link.SetState(Draining, nil)
	l.log.Info("draining", "reason", reason)
	l.session.SendDrain(reason)
	select {
	case l.drain <- reason:
	default:
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if c := l.Counts(); c.Open == 0 && c.Asked == 0 && c.Busy == 0 && c.FromBusInFlight == 0 && c.FromPeerInFlight == 0 && c.Queued == 0 {
				return
			}
		case <-l.session.Ended():
			return
		case <-ctx.Done():
			return
		}
	}
}

// peerDrains: the peer is about to leave, so nobody here is to ask it any more.
func (l *Limpet) peerDrains(reason string) {
	l.log.Info("the peer is draining", "reason", reason)
	select {
	case l.drain <- reason:
	default:
	}
}

// startDrain unbinds what was bound for the peer.
func (w *writer) startDrain(string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.do(w.machine.Drain())
}
