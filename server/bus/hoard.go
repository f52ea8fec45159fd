package bus

import (
	"sync/atomic"

	"github.com/kbus-limpet/limpet/limpet/link"
)

// A hoard is what the sessions of all programs hold together. Each is bounded by its window,
// some mebibytes, but there may be thousands.
type hoard struct {
	most     int64
	held     atomic.Int64
	ending   atomic.Bool
	sessions *sessions
}

// A share is what one session holds.
type share struct {
	source string // of the program
	held   atomic.Int64
	over   bool // nothing counts any more; guarded by attached.mu
}

// weigh counts what the session holds now. It is called under mu, after what may have
// changed that.
func (a *attached) weigh() {
	if a.share.over {
		return
	}
	now := int64(a.session.Held())
	before := a.share.held.Swap(now)
	h := &a.sessions.hoard
	if h.held.Add(now-before) > h.most && now > before && h.ending.CompareAndSwap(false, true) {
		go h.relieve()
	}
}

// forgo counts nothing any more. It is called under mu.
func (a *attached) forgo() {
	a.share.over = true
	a.sessions.hoard.held.Add(-a.share.held.Swap(0))
}

// relieve ends sessions until they hold no more than they may: of the source that holds most
// the one that does.
func (h *hoard) relieve() {
	defer h.ending.Store(false)
	for h.held.Load() > h.most {
		a := h.sessions.takeLargest()
		if a == nil {
			return
		}
		a.service.tally.Reach("bytes of attached programs", a.share.source)
		a.end(link.Errorf(link.Stalled, "the programs of this daemon leave more than %d MiB to it that they do not take, or that cannot be done; those of %s hold most", h.most>>20, a.share.source))
		h.sessions.all.Done()
	}
}

// takeLargest takes a session out of the list: of the source whose sessions hold most the
// one that does; nil if there is none.
func (s *sessions) takeLargest() *attached {
	s.mu.Lock()
	defer s.mu.Unlock()
	bySource := make(map[string]int64)
	largest := make(map[string]*attached)
	most := ""
	for _, a := range s.byID {
		from, held := a.share.source, a.share.held.Load()
		bySource[from] += held
		if l := largest[from]; l == nil || held > l.share.held.Load() {
			largest[from] = a
		}
		if bySource[from] >= bySource[most] {
			most = from
		}
	}
	a := largest[most]
	if a != nil {
		delete(s.byID, a.welcome.Session)
	}
	return a
}
