package membus

import (
	"context"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Bounds of what a watch tells at once, and keeps.
const (
	maxTold      = 1000    // bindings
	maxToldBytes = 1 << 16 // of their names, but for the last
	maxScan      = 1 << 14 // bindings looked at under one lock
	maxUntold    = 1 << 14 // unbound, and still to be told
)

// A watch is where a watcher is in the list of bindings by age. What lies behind the
// cursor is new to it, so that a binding needs no memory until it has been told; what it
// was told and is gone is kept, up to a bound.
type watch struct {
	bus    *Bus
	accept func(kbusdev.Binding) bool
	wake   chan struct{}
	closed chan struct{}

	// Guarded by the bus's lock.
	over    bool
	cursor  uint64 // all accepted bindings below this have been told
	unbound []kbusdev.Binding
	whole   bool
	restart bool // there were too many in unbound
}

// WatchBindings watches the bindings that accept accepts; nil accepts all. Next tells
// them oldest first. Binding and unbinding cost the same for each watch, however slow
// its watcher is, and a watcher that is slow costs a bounded memory: when more than
// 16 384 bindings that it was told of are gone, it has to start again.
func (b *Bus) WatchBindings(accept func(kbusdev.Binding) bool) kbusdev.BindingWatch {
	if accept == nil {
		accept = func(kbusdev.Binding) bool { return true }
	}
	w := &watch{bus: b, accept: accept, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watches = append(b.watches, w)
	return w
}

// Close ends the watch.
func (w *watch) Close() {
	w.bus.mu.Lock()
	defer w.bus.mu.Unlock()
	if w.over {
		return
	}
	w.over, w.unbound = true, nil
	close(w.closed)
	w.bus.watches = slices.DeleteFunc(w.bus.watches, func(o *watch) bool { return o == w })
}

// Next tells what is to be told, and waits for it.
func (w *watch) Next(ctx context.Context) (kbusdev.BindingChanges, error) {
	for {
		c, more, err := w.take()
		if err != nil || c.Restart || c.Whole || len(c.Unbound)+len(c.Bound) > 0 {
			return c, err
		}
		if more {
			continue
		}
		select {
		case <-w.wake:
		case <-w.closed:
		case <-ctx.Done():
			return c, ctx.Err()
		}
	}
}

// take returns what there is to tell, up to a bound, and whether there may be more.
func (w *watch) take() (c kbusdev.BindingChanges, more bool, err error) {
	w.bus.mu.Lock()
	defer w.bus.mu.Unlock()
	if w.over {
		return c, false, opError("watch", "", errClosed)
	}
	if w.restart {
		w.restart, w.whole, w.cursor = false, false, 0
		c.Restart = true
	}
	if len(w.unbound) > 0 {
		c.Unbound, w.unbound = takeSome(w.unbound)
		return c, true, nil
	}
	a := &w.bus.names.ages
	first, bytes := a.at(w.cursor), 0
	for i, v := range a.entries[first:] {
		if i == maxScan || len(c.Bound) == maxTold || bytes >= maxToldBytes {
			return c, true, nil
		}
		w.cursor = v.seq + 1
		if v.binding != nil && w.accept(v.public()) {
			c.Bound = append(c.Bound, v.public())
			bytes += len(v.name)
		}
	}
	w.cursor = w.bus.names.lastSeq + 1
	c.Whole, w.whole = !w.whole, true
	return c, false, nil
}

// takeSome takes as many off the front of all as may be told at once.
func takeSome(all []kbusdev.Binding) (some, rest []kbusdev.Binding) {
	bytes := 0
	for i, b := range all {
		if i == maxTold || bytes >= maxToldBytes {
			return all[:i:i], all[i:]
		}
		bytes += len(b.Name)
	}
	return all, nil
}

// noteBound tells the watchers of a binding that is new.
func (b *Bus) noteBound(v *binding) {
	if v.role == kbusdev.Listener {
		b.watched(v.ksock, v.name, true)
	}
	for _, w := range b.watches {
		if w.accept(v.public()) {
			signal(w.wake)
		}
	}
}

// noteUnbound tells the watchers of a binding that is gone. What a watcher was not told
// of is not kept for it.
func (b *Bus) noteUnbound(v *binding) {
	if v.role == kbusdev.Listener {
		b.watched(v.ksock, v.name, false)
	}
	for _, w := range b.watches {
		if v.seq >= w.cursor || w.restart || !w.accept(v.public()) {
			continue
		}
		if w.unbound = append(w.unbound, v.public()); len(w.unbound) > maxUntold {
			w.unbound, w.restart = nil, true
		}
		signal(w.wake)
	}
}
