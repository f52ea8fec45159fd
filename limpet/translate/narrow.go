package translate

import "github.com/kbus-limpet/limpet/kbusdev"

// A narrowing applies a pattern to one side's bind events: what our bus tells the
// peer, or what the peer tells us. A name within the pattern stays as it is. Names
// that cover the pattern all become the pattern itself, and of these bindings one
// stands for all. There are never more of them than the pattern has words, plus two.
type narrowing struct {
	pattern  string
	covering []kbusdev.BindEvent // those that cover the pattern; the first stands for all
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
	var holder kbusdev.BindEvent
	held := len(n.covering) > 0
	if held {
		holder = n.covering[0]
	}
	n.note(e)
	switch {
	case !held, len(n.covering) == 0, e.Bound && e.Name == holder.Name:
		// The first, the last, or the holder's name bound again.
		e.Name = name
		return e, NoReason
	case n.covering[0] != holder:
		// The holder has left, and the next one takes its place.
		return kbusdev.BindEvent{Bound: true, Binder: n.covering[0].Binder, Name: name}, NoReason
	}
	return e, BindEventUsed
}

func (n *narrowing) note(e kbusdev.BindEvent) {
	for i, c := range n.covering {
		if c.Name == e.Name {
			if e.Bound {
				n.covering[i] = e
			} else if c.Binder == e.Binder {
				n.covering = append(n.covering[:i], n.covering[i+1:]...)
			}
			return
		}
	}
	if e.Bound {
		n.covering = append(n.covering, e)
	}
}
