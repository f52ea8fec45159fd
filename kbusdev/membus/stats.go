package membus

import (
	"cmp"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// KsockStats are what a bus knows of one Ksock, much like /proc/kbus/stats.
type KsockStats struct {
	ID kbusdev.KsockID
	// Queued messages wait for it, of MaxMessages at the most.
	Queued, MaxMessages int
	// SetAside unbind events wait for it besides.
	SetAside int
	// Taken messages have left the queue, ever.
	Taken uint64
	// Awaited replies have not come to it yet.
	Awaited int
	// Unreplied requests were read by it and are not answered.
	Unreplied int
	// SendPending: a send waits for room.
	SendPending bool
}

// Stats tells of every Ksock, in the order of their ids.
func (b *Bus) Stats() []KsockStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]KsockStats, 0, len(b.ksocks))
	for _, k := range b.ksocks {
		all = append(all, KsockStats{
			ID:          k.id,
			Queued:      k.queue.n,
			MaxMessages: k.maxMessages,
			SetAside:    len(k.setAside.entries),
			Taken:       k.takenEver,
			Awaited:     k.awaited.n,
			Unreplied:   k.debts.n,
			SendPending: k.pending != nil,
		})
	}
	slices.SortFunc(all, func(x, y KsockStats) int { return cmp.Compare(x.ID, y.ID) })
	return all
}
