package program

// A Line is a kind of operations that wait for each other.
type Line uint8

// The lines.
const (
	// NoLine is for operations that never wait.
	NoLine Line = iota
	// Sends are Send and Flush.
	Sends
	// Receives are Receive and Stream.
	Receives
	numLines
)

// Line returns the line in which op stands.
func (op *Operation) Line() Line {
	switch op.Action {
	case Send, Flush:
		return Sends
	case Receive, Stream:
		return Receives
	default:
		return NoLine
	}
}

// A Numbered is an operation with its sequence number.
type Numbered struct {
	Operation
	Sequence uint64
}

// An Order decides which operation may be carried out next: they go in the order in which
// they came, but those behind one that waits in their line stay behind it. It is not safe
// for concurrent use; the zero value is ready.
type Order struct{ lines [numLines]line }

type line struct {
	waits   bool // the operation of the line that was carried out last waits
	behind  []Numbered
	head    uint64            // the place of behind[0], counted from the first ever
	places  map[uint64]uint64 // of those that have a tag
	removed int               // of behind; what is left of them is zero
}

// Admit reports whether op, the next that has come, may be carried out now. If not, the
// Order keeps it until Ready returns it or Remove removes it.
func (o *Order) Admit(op *Operation, sequence uint64) bool {
	l := &o.lines[op.Line()]
	if !l.waits && len(l.behind) == 0 {
		return true
	}
	l.push(Numbered{*op, sequence})
	return false
}

// Waits tells that the operation of a line that was carried out last waits.
func (o *Order) Waits(l Line) { o.lines[l].waits = l != NoLine }

// Finished tells that the one that waited in a line waits no more.
func (o *Order) Finished(l Line) { o.lines[l].waits = false }

// Ready returns an operation that has stood behind another, and may be carried out now. It
// must be asked before the next one is admitted.
func (o *Order) Ready() (op Numbered, ok bool) {
	for i := range o.lines {
		l := &o.lines[i]
		for !l.waits && len(l.behind) > 0 {
			if op = l.pop(); op.Sequence != 0 {
				return op, true
			}
		}
	}
	return Numbered{}, false
}

// Remove removes the operation with this tag from those that stand behind another. Of
// several it is the latest.
func (o *Order) Remove(tag uint64) (op Numbered, ok bool) {
	for i := range o.lines {
		l := &o.lines[i]
		if place, found := l.places[tag]; found {
			return l.remove(place), true
		}
	}
	return op, false
}

func (l *line) push(op Numbered) {
	if op.Tag != 0 {
		if l.places == nil {
			l.places = make(map[uint64]uint64)
		}
		l.places[op.Tag] = l.head + uint64(len(l.behind))
	}
	l.behind = append(l.behind, op)
}

func (l *line) pop() (op Numbered) {
	op, l.behind[0] = l.behind[0], Numbered{}
	l.behind = l.behind[1:]
	l.forget(op.Tag, l.head)
	l.head++
	switch {
	case op.Sequence == 0:
		l.removed--
	case len(l.behind) == 0:
		l.behind, l.places = nil, nil
	}
	return op
}

func (l *line) remove(place uint64) (op Numbered) {
	at := &l.behind[place-l.head]
	op, *at = *at, Numbered{}
	l.forget(op.Tag, place)
	if l.removed++; l.removed > len(l.behind)/2 {
		l.compact()
	}
	return op
}

// forget forgets the place of a tag, unless a later operation has the same.
func (l *line) forget(tag, place uint64) {
	if at, ok := l.places[tag]; ok && at == place {
		delete(l.places, tag)
	}
}

// compact takes out what was removed, when that is the greater part: a program may have as
// much removed as it likes.
func (l *line) compact() {
	kept := l.behind
	l.behind, l.places, l.removed = nil, nil, 0
	for _, op := range kept {
		if op.Sequence != 0 {
			l.push(op)
		}
	}
}
