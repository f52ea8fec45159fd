package drops

// A Watch sees each drop of a log once: as it was, if it is kept still, else as a count. It
// keeps how far it has seen, and no drops. Its methods are not safe for concurrent use.
type Watch struct {
	log  *Log
	seen map[*Part]*seen
	more chan struct{}
	some []Drop // memory for a look
}

// Seen is what a watch has seen of a part.
type seen struct {
	n      uint64
	counts map[Why]uint64
}

// Watch returns a watch that has seen nothing yet. It must be closed.
func (l *Log) Watch() *Watch {
	w := &Watch{log: l, seen: make(map[*Part]*seen), more: make(chan struct{}, 1), some: make([]Drop, 0, Kept)}
	l.watchers.Lock()
	l.watchers.all[w] = struct{}{}
	l.watchers.Unlock()
	l.watched.Add(1)
	return w
}

// Close ends the watch. It is called once.
func (w *Watch) Close() {
	l := w.log
	l.watched.Add(-1)
	l.watchers.Lock()
	defer l.watchers.Unlock()
	delete(l.watchers.all, w)
}

// More returns a channel that gets a value when there may be something to see since the last
// look.
func (w *Watch) More() <-chan struct{} { return w.more }

// Look calls f for each part that has drops which the watch has not seen, in the order in
// which the parts were made: with those that are kept, oldest first, and how many there were
// besides. All are seen then. They are f's only while it runs; no lock is held. An error of f
// ends the look, and is returned.
func (w *Watch) Look(f func(p *Part, drops []Drop, untold map[Why]uint64) error) error {
	w.log.mu.Lock()
	parts := w.log.parts // only appended to
	w.log.mu.Unlock()
	for _, p := range parts {
		drops, untold := w.look(p)
		if len(drops) == 0 && len(untold) == 0 {
			continue
		}
		if err := f(p, drops, untold); err != nil {
			return err
		}
	}
	clear(w.some[:cap(w.some)]) // their names
	return nil
}

// look returns what a watch has not seen of a part.
func (w *Watch) look(p *Part) (drops []Drop, untold map[Why]uint64) {
	s := w.seen[p]
	if s == nil {
		s = &seen{counts: make(map[Why]uint64)}
		w.seen[p] = s
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == s.n {
		return nil, nil
	}
	drops = p.since(s.n, w.some[:0])
	for i := range drops {
		s.counts[drops[i].Why]++
	}
	s.n = p.n
	for why, n := range p.counts {
		if more := n - s.counts[why]; more > 0 {
			if untold == nil {
				untold = make(map[Why]uint64)
			}
			untold[why] = more
			s.counts[why] = n
		}
	}
	return drops, untold
}

// A Total is what drops are summed up by: a Part and a Why, without Own.
type Total struct {
	Source Source
	Name   string
	Why
}

// Sums returns how much a new watch sees, drop by drop and as counts: all that was dropped.
func (l *Log) Sums() map[Total]uint64 {
	w := l.Watch()
	defer w.Close()
	sums := make(map[Total]uint64)
	_ = w.Look(func(p *Part, drops []Drop, untold map[Why]uint64) error {
		for i := range drops {
			why := drops[i].Why
			why.Own = false
			sums[Total{p.source, p.name, why}]++
		}
		for why, n := range untold {
			why.Own = false
			sums[Total{p.source, p.name, why}] += n
		}
		return nil
	})
	return sums
}
