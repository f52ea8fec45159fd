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
	// QueuedBytes are the names and data of those.
	QueuedBytes int
	// SetAside unbind events wait for it besides.
	SetAside int
	// Taken messages have left the queue, ever.
	Taken uint64
	// Missed copies found no room in the queue, ever; see Ksock.Missed.
	Missed uint64
	// Awaited replies have not come to it yet.
	Awaited int
	// Unreplied requests were read by it and are not answered.
	Unreplied int
	// SendPending: a send waits for room.
	SendPending bool
	// Judged: the Ksock has a judge, which has refused Denied of its operations.
	Judged bool
	Denied uint64
}

// Stats tells of every Ksock, in the order of their ids.
func (b *Bus) Stats() []KsockStats {
	b.mu.Lock()
	var all []KsockStats
	for k := range b.ksocks.all() {
		all = append(all, KsockStats{
			ID:          k.id,
			Queued:      k.queue.n,
			QueuedBytes: k.queue.bytes,
			MaxMessages: k.maxMessages,
			Missed:      k.missed,
			SetAside:    len(k.setAside.entries),
			Taken:       k.takenEver,
			Awaited:     k.awaited.n,
			Unreplied:   k.debts.n,
			SendPending: k.pending != nil,
			Judged:      k.judge != nil,
			Denied:      k.refused,
		})
	}
	b.mu.Unlock() // sorting needs no lock
	slices.SortFunc(all, func(x, y KsockStats) int { return cmp.Compare(x.ID, y.ID) })
	return all
}
