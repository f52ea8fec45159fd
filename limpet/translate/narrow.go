package translate

import "github.com/kbus-limpet/limpet/kbusdev"

// A narrowing applies a pattern to one side's bind events: what our bus tells the
// peer, or what the peer tells us. A name within the pattern stays as it is. Names
// that cover the pattern all become the pattern itself, and of these bindings one
// stands for all. There are never more of them than the pattern has words, plus two.
type narrowing struct {
	pattern  string
	covering standing // those that cover the pattern
}

// narrow notes e and returns what the other side of the pattern sees of it. why is
// NoReason if it sees something, OutsidePattern if it never does, BindEventUsed if
// nothing changes for it.
func (n *narrowing) narrow(e kbusdev.BindEvent) (out kbusdev.BindEvent, why Reason) {
	name, ok := kbusdev.Narrower(n.pattern, e.Name)
	if !ok {
		return e, OutsidePattern
	}
	if name != n.pattern {
		return e, NoReason
	}
	if out, seen := n.covering.change(e, name); seen {
		return out, NoReason
	}
	return e, BindEventUsed
}

// A standing is the bindings that all come to the same name on another side. The first of
// them stands for all.
type standing []kbusdev.BindEvent

// change notes e, and returns what the other side sees of it under that name; seen is false
// if nothing changes there.
func (s *standing) change(e kbusdev.BindEvent, name string) (out kbusdev.BindEvent, seen bool) {
	var holder kbusdev.BindEvent
	held := len(*s) > 0
	if held {
		holder = (*s)[0]
	}
	s.note(e)
	switch {
	case !held, len(*s) == 0, e.Bound && e.Name == holder.Name:
		// The first, the last, or the holder's name bound again.
		e.Name = name
		return e, true
	case (*s)[0] != holder:
		// The holder has left, and the next one takes its place.
		return kbusdev.BindEvent{Bound: true, Binder: (*s)[0].Binder, Name: name}, true
	}
	return e, false
}

func (s *standing) note(e kbusdev.BindEvent) {
	for i, c := range *s {
		if c.Name == e.Name {
			if e.Bound {
				(*s)[i] = e
			} else if c.Binder == e.Binder {
				*s = append((*s)[:i], (*s)[i+1:]...)
			}
			return
		}
	}
	if e.Bound {
		*s = append(*s, e)
	}
}
