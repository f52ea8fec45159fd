package record

// A Memory is a Sink that keeps the files of one epoch in memory, for tests.
type Memory struct {
	// Software is what files say has written them.
	Software string
	// FileBytes is about how long a file becomes; 0 is without end.
	FileBytes int
	// Lose, unless nil, is asked for each event whether to lose it.
	Lose func() bool
	// Files are the files, the last of which may still grow.
	Files [][]byte
	// Ended reports that the epoch has ended.
	Ended bool
}

// Begin is Sink's, like the methods below.
func (m *Memory) Begin(h *Header, state []byte) bool {
	if n := len(m.Files); n > 0 && h.Begins == Rotated {
		m.Files[n-1] = AppendEnd(m.Files[n-1])
	}
	h.Software = m.Software
	file, err := AppendStart(nil, h, state)
	if err != nil {
		return false
	}
	m.Files = append(m.Files, file)
	return true
}

// Append takes an event as a block of its own.
func (m *Memory) Append(event []byte) Verdict {
	last := &m.Files[len(m.Files)-1]
	if m.Lose != nil && m.Lose() {
		*last = AppendGap(*last)
		return Lost
	}
	*last = AppendEvents(*last, AppendEvent(nil, event))
	if m.FileBytes > 0 && len(*last) > m.FileBytes {
		return Full
	}
	return Taken
}

// Ready reports true.
func (m *Memory) Ready() bool { return true }

// End ends the last file.
func (m *Memory) End() {
	if n := len(m.Files); n > 0 {
		m.Files[n-1] = AppendEnd(m.Files[n-1])
	}
	m.Ended = true
}
