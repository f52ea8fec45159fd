package limpet

import (
	"context"
	"time"
)

// Drain prepares a good end: the peer is told, what is bound for it is unbound, so
// that no new requests are taken, and Drain returns when nothing is open or under
// way, or ctx, the drain timeout or the link ends. To end the limpet then is for
// whoever runs it, with the context given to Dial or Accept.
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
