package limpet

import (
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// recent remembers which session lately brought which message id to this bus. It
// is what stops a message that goes round a loop without its origin in it. Its
// memory is bounded in time, and in number: per network the latest serial numbers,
// modulo its size, and a fixed number of networks.
type recent struct {
	mu    sync.Mutex
	start time.Time
	nets  map[uint32]*[recentPages]*recentPage
	// The Ksocks of the limpets on this bus, and their sessions.
	limpets map[kbusdev.KsockID]uint32
}

// localSession stands for programs that chose a foreign network's id themselves.
const localSession = ^uint32(0)

const (
	recentFor      = time.Minute
	recentPages    = 32
	recentPageSize = 4096
	recentNetworks = 64
)

type recentPage [recentPageSize]brought

type brought struct {
	serial  uint32
	session uint32 // 0 is none
	at      uint32 // seconds since start
}

func newRecent() *recent {
	return &recent{start: time.Now(), nets: make(map[uint32]*[recentPages]*recentPage), limpets: make(map[kbusdev.KsockID]uint32)}
}

// serves notes which session a limpet's Ksock belongs to; 0 is none any more.
func (r *recent) serves(k kbusdev.KsockID, session uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if session == 0 {
		delete(r.limpets, k)
		return
	}
	r.limpets[k] = session
}

// claim notes that session brings id, and tells whether another one did before.
func (r *recent) claim(id kbusdev.MsgID, session uint32, now time.Time) (before bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.claimLocked(id, session, now)
}

// read notes a message with a foreign network's id that was read from the bus. One
// that no limpet brought was sent so by a program here, and would pass for new
// when it comes back round a loop.
func (r *recent) read(id kbusdev.MsgID, from kbusdev.KsockID, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, brought := r.limpets[from]; !brought {
		r.claimLocked(id, localSession, now)
	}
}

func (r *recent) claimLocked(id kbusdev.MsgID, session uint32, now time.Time) (before bool) {
	seconds := uint32(now.Sub(r.start) / time.Second)
	net := r.nets[id.Network]
	if net == nil {
		if len(r.nets) >= recentNetworks {
			for other := range r.nets { // any of them
				delete(r.nets, other)
				break
			}
		}
		net = new([recentPages]*recentPage)
		r.nets[id.Network] = net
	}
	page := &net[id.Serial/recentPageSize%recentPages]
	if *page == nil {
		*page = new(recentPage)
	}
	was := &(*page)[id.Serial%recentPageSize]
	if was.session != 0 && was.session != session && was.serial == id.Serial && seconds-was.at <= uint32(recentFor/time.Second) {
		return true
	}
	*was = brought{serial: id.Serial, session: session, at: seconds}
	return false
}

// forget drops what is known of a network, whose serial numbers start again.
func (r *recent) forget(network uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nets, network)
}
