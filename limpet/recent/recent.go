// Package recent remembers which message ids were lately brought to a bus. It stops
// a message that goes round a loop without its origin in it, and one that two
// limpets bring. It is pure: time is an argument.
package recent

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// For is how long an id is remembered, to a second. What bounds the memory can
// make it less: of each network the latest 131 072 serial numbers, and at most
// 64 MiB of ids in all, those of the networks that were silent longest leaving first.
const For = time.Minute

const (
	pageSize     = 512 // ids
	networkPages = 256
	maxPages     = 16384
)

// An IDs is the memory of one bus, shared by all limpets on it. It is not safe for
// concurrent use: the caller locks.
type IDs struct {
	start   time.Time
	pages   map[pageKey]*page
	newest  *page // the page used last; the others follow by older
	oldest  *page
	limpets map[kbusdev.KsockID]struct{}
	closed  []kbusdev.KsockID // those of limpets that were closed last, which are still in it
}

type pageKey struct {
	network uint32
	number  uint32 // a serial number / pageSize, modulo networkPages
}

// A page holds consecutive serial numbers of one network, each in its place.
type page struct {
	key          pageKey
	newer, older *page
	usedAt       uint32
	ids          *[pageSize]brought // by itself, for then it fits a size class
}

type brought struct {
	serial uint32
	at     uint32 // seconds since start, plus 1; 0 is never
}

// maxClosed is how many Ksocks of limpets are known after they were closed.
const maxClosed = 1024

// New returns an empty memory. No later time may be before start.
func New(start time.Time) *IDs {
	return &IDs{start: start, pages: make(map[pageKey]*page), limpets: make(map[kbusdev.KsockID]struct{})}
}

// Serve notes that k is the Ksock of a limpet on this bus.
func (r *IDs) Serve(k kbusdev.KsockID) { r.limpets[k] = struct{}{} }

// Unserve notes that k, which is a limpet's, is closed. Others may still have to read
// what it has sent.
func (r *IDs) Unserve(k kbusdev.KsockID) {
	if r.closed = append(r.closed, k); len(r.closed) > maxClosed {
		delete(r.limpets, r.closed[0])
		r.closed = r.closed[1:]
	}
}

// Claim notes that somebody brings id to this bus, and reports whether it was
// brought before, by whomever: the same link included.
func (r *IDs) Claim(id kbusdev.MsgID, now time.Time) (before bool) {
	at := r.seconds(now)
	was := &r.page(id, at).ids[id.Serial%pageSize]
	if was.at != 0 && was.serial == id.Serial && at-was.at <= uint32(For/time.Second) {
		return true
	}
	*was = brought{serial: id.Serial, at: at}
	return false
}

// Read notes a message with a foreign network's id that was read from the bus. If
// its sender is no limpet here, a program here chose that id itself, and the message
// would pass for new when it comes back round a loop.
func (r *IDs) Read(id kbusdev.MsgID, from kbusdev.KsockID, now time.Time) {
	if _, limpet := r.limpets[from]; !limpet {
		r.Claim(id, now)
	}
}

// Forget drops the ids of a network whose serial numbers may start again: a kernel's do
// when its machine is started. Those of an embedded bus start anywhere, so that what is
// still under way is not taken for what is new.
func (r *IDs) Forget(network uint32) {
	for n := range uint32(networkPages) {
		if p := r.pages[pageKey{network, n}]; p != nil {
			r.unlink(p)
			delete(r.pages, p.key)
		}
	}
}

// seconds is the time since start as entries have it.
func (r *IDs) seconds(now time.Time) uint32 {
	return uint32(max(0, now.Sub(r.start))/time.Second) + 1
}

// page returns the page that holds id, and moves it to the front.
func (r *IDs) page(id kbusdev.MsgID, at uint32) *page {
	key := pageKey{id.Network, id.Serial / pageSize % networkPages}
	if r.newest != nil && r.newest.key == key {
		r.newest.usedAt = at
		return r.newest
	}
	p := r.pages[key]
	if p == nil {
		p = r.newPage(at)
		p.key = key
		r.pages[key] = p
	} else {
		r.unlink(p)
	}
	p.usedAt = at
	p.older = r.newest
	if r.newest != nil {
		r.newest.newer = p
	} else {
		r.oldest = p
	}
	r.newest = p
	return p
}

// newPage returns an empty page: the one used least lately, if its ids are too old
// to matter or there are too many pages.
func (r *IDs) newPage(at uint32) *page {
	p := r.oldest
	if p == nil || len(r.pages) < maxPages && at-p.usedAt <= uint32(For/time.Second) {
		return &page{ids: new([pageSize]brought)}
	}
	r.unlink(p)
	delete(r.pages, p.key)
	*p.ids = [pageSize]brought{}
	return p
}

func (r *IDs) unlink(p *page) {
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		r.newest = p.older
	}
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		r.oldest = p.newer
	}
	p.newer, p.older = nil, nil
}
