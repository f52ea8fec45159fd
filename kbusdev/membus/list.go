package membus

import "github.com/kbus-limpet/limpet/kbusdev"

// Bindings lists every binding, newest first. The error is always nil.
func (b *Bus) Bindings() ([]kbusdev.Binding, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]kbusdev.Binding, 0, b.names.count)
	for v := b.names.newest; v != nil; v = v.older {
		all = append(all, v.public())
	}
	return all, nil
}

// CountBindings returns how many bindings there are. The error is always nil.
func (b *Bus) CountBindings() (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.names.count, nil
}

// PageBindings lists bindings newest first, beginning with the newest if from is 0, else
// where a page before has ended: at its next. It returns at most the given number of
// bindings, and stops when their names have at least maxBytes bytes. next is 0 if nothing
// is left. What is bound or unbound meanwhile does not make any other binding be told
// twice or left out.
func (b *Bus) PageBindings(from uint64, most, maxBytes int) (page []kbusdev.Binding, next uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := &b.names.ages
	i := len(a.entries)
	if from != 0 {
		i = a.at(from + 1)
	}
	bytes := 0
	for i--; i >= 0; i-- {
		v := a.entries[i]
		if v.binding == nil {
			continue
		}
		if len(page) >= most || bytes >= maxBytes {
			return page, v.seq
		}
		page = append(page, v.public())
		bytes += len(v.name)
	}
	return page, 0
}

// public returns the binding as others see it.
func (v *binding) public() kbusdev.Binding {
	return kbusdev.Binding{Ksock: v.ksock.id, Role: v.role, Name: v.name}
}
