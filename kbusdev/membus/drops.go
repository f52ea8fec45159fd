package membus

import "github.com/kbus-limpet/limpet/kbusdev"

// OnMiss has f called for each copy of an announcement that a listener misses for want of
// room, whenever one is counted in Totals.Missed: by is the listener's Ksock, and reason one
// of MissedReasons. f is called under the bus's lock: it must be quick, must call nothing of
// the bus, and neither change the message nor keep its data. nil, which is so at first, calls
// nobody.
func (b *Bus) OnMiss(f func(m *kbusdev.Message, by kbusdev.KsockID, reason string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onMiss = f
}
