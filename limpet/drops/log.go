// Package drops keeps the latest messages that were dropped, without their data, counts all
// of them, and tells those who watch. What nobody watches costs no more than being kept.
package drops

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Kept is how many messages a Part keeps: the latest.
const Kept = 128

// A Source says who drops messages.
type Source uint8

// The sources.
const (
	// Link is a limpet.
	Link Source = iota + 1
	// Bus is the bus: a listener has no room.
	Bus
	// Rules are what a program may not do.
	Rules
)

// String returns the source as a word.
func (s Source) String() string {
	return [...]string{"unknown", "link", "bus", "rules"}[s]
}

// A Drop is a message that was dropped.
type Drop struct {
	// At is when.
	At time.Time
	// Why says how it is counted.
	Why
	// Message has no data; Size is how many bytes that had.
	Message kbusdev.Message
	Size    int
	// Link is the name of the link that has dropped it.
	Link string
	// MissedBy is the listener that has missed it, if the bus has dropped it.
	MissedBy kbusdev.KsockID
	// Identity is who may not send it, for people, if the rules have dropped it.
	Identity string
}

// A Why is what the drops of a Part are counted by.
type Why struct {
	// FromPeer: a link's peer has brought it, else it is from our bus.
	FromPeer bool
	// Reason is a word.
	Reason string
	// Own: the message is what a daemon says of itself on its bus; see OwnNames. Add sets it.
	Own bool
}

// OwnNames begins the names of what daemons say of themselves. That such a message was dropped
// must not be announced by another one: it could go on for ever.
const OwnNames = "$.Limpet."

// ownDrops ends the name of an announcement of a drop, also where a link has renamed it.
const ownDrops = ".Limpet.Dropped"

func isOwn(name string) bool {
	return strings.HasPrefix(name, OwnNames) || strings.HasSuffix(name, ownDrops)
}

// A Log is all that a daemon drops. Its methods, and those of its parts, are safe for
// concurrent use, call nothing, and may be called with any lock held.
type Log struct {
	mu    sync.Mutex
	parts []*Part // in the order in which they were made
	found map[partKey]*Part

	watched  atomic.Int32 // how many watch
	watchers struct {
		sync.Mutex
		all map[*Watch]struct{}
	}
}

type partKey struct {
	source Source
	name   string
}

// New returns a log without drops.
func New() *Log {
	l := &Log{found: make(map[partKey]*Part)}
	l.watchers.all = make(map[*Watch]struct{})
	return l
}

// A Part is what one source has dropped: the links of one name for example.
type Part struct {
	log    *Log
	source Source
	name   string

	mu     sync.Mutex
	latest []Drop // the n-th is in place n modulo Kept
	n      uint64
	counts map[Why]uint64
}

// Part returns the part of a source, which is made if need be; name is that of links, and ""
// for the others. A part stays for as long as the log: whoever makes them bounds their names.
func (l *Log) Part(source Source, name string) *Part {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := partKey{source, name}
	p := l.found[key]
	if p == nil {
		p = &Part{log: l, source: source, name: name, counts: make(map[Why]uint64)}
		l.found[key] = p
		l.parts = append(l.parts, p)
	}
	return p
}

// Source returns who has dropped what is in the part.
func (p *Part) Source() Source { return p.source }

// Name returns the name that the part was made with.
func (p *Part) Name() string { return p.name }

// Add notes a drop. Its Message may have data, which is measured and not kept.
func (p *Part) Add(d *Drop) {
	p.mu.Lock()
	var kept *Drop
	if len(p.latest) < Kept {
		p.latest = append(p.latest, *d)
		kept = &p.latest[len(p.latest)-1]
	} else {
		kept = &p.latest[p.n%Kept]
		*kept = *d
	}
	kept.Size = d.Message.Size() - len(d.Message.Name)
	kept.Message.Data = nil
	kept.Own = isOwn(d.Message.Name)
	p.n++
	p.counts[kept.Why]++
	p.mu.Unlock()
	if p.log.watched.Load() > 0 {
		p.log.tell()
	}
}

// Latest returns the latest drops, oldest first, at most Kept.
func (p *Part) Latest() []Drop {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since(0, nil)
}

// since appends what is kept of the drops after the first n to dst. p.mu is held.
func (p *Part) since(n uint64, dst []Drop) []Drop {
	for n = max(n, p.n-uint64(len(p.latest))); n < p.n; n++ {
		dst = append(dst, p.latest[n%Kept])
	}
	return dst
}

func (l *Log) tell() {
	l.watchers.Lock()
	defer l.watchers.Unlock()
	for w := range l.watchers.all {
		select {
		case w.more <- struct{}{}:
		default:
		}
	}
}
