package membus

import "github.com/kbus-limpet/limpet/kbusdev"

// Bound returns how many bindings the Ksock has, and the newest of them, at most the given
// number. A Ksock that is closed has none.
func (k *Ksock) Bound(most int) (n int, newest []kbusdev.Binding) {
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	for v := k.bound.newest; v != nil && len(newest) < most; v = v.ownOlder {
		newest = append(newest, v.public())
	}
	return k.bound.count, newest
}
