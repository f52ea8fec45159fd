package membus

import (
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
)

type watcher struct {
	f func(b kbusdev.Binding, bound bool)
}

// WatchListeners tells f of every listener binding there is, oldest first, and then
// of each one that is bound, or unbound by Unbind or Close, in the order in which
// that happens; nothing is left out and nothing told twice. One Ksock may have
// several bindings of one name: each is told by itself.
//
// f is called under the bus's lock, and WatchListeners makes the first calls before
// it returns. So f must be quick, and must call nothing of the bus, its Ksocks, or
// stop. After stop has returned f is not called again. stop may be called twice.
//
// Who can do with any bus that tells of its listeners asks for
//
//	interface {
//		WatchListeners(f func(b kbusdev.Binding, bound bool)) (stop func())
//	}
func (b *Bus) WatchListeners(f func(b kbusdev.Binding, bound bool)) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &watcher{f: f}
	for v := b.names.oldest; v != nil; v = v.newer {
		if v.role == kbusdev.Listener {
			f(v.public(), true)
		}
	}
	b.watchers = append(b.watchers, w)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.watchers = slices.DeleteFunc(b.watchers, func(o *watcher) bool { return o == w })
	}
}

// watched tells the watchers of a listener bound or unbound.
func (b *Bus) watched(k *Ksock, name string, bound bool) {
	for _, w := range b.watchers {
		w.f(kbusdev.Binding{Ksock: k.id, Role: kbusdev.Listener, Name: name}, bound)
	}
}
