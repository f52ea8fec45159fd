package bus

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// Bounds of what programs may have at a time.
const (
	maxSessions = 4096
	maxStreams  = 2 * maxSessions // those that have not said hello, and those that take another's place, included
)

// DefaultProgramGrace is how long a program's session is kept after its stream has broken.
const DefaultProgramGrace = 10 * time.Second

// Attached returns how many programs have a session, those in their grace included.
func (s *Service) Attached() int {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return len(s.sessions.byID)
}

// sessions are those of programs, by their id.
type sessions struct {
	instance link.InstanceID
	grace    time.Duration

	mu      sync.Mutex
	byID    map[link.SessionID]*attached
	opening int // that will be in byID soon
	streams int
	closed  bool
	all     sync.WaitGroup // streams, and sessions that live

	hoard hoard
}

func newSessions(grace time.Duration) *sessions {
	s := &sessions{grace: grace, byID: make(map[link.SessionID]*attached)}
	s.hoard.most, s.hoard.sessions = DefaultProgramBytes, s
	randomID((*[16]byte)(&s.instance))
	return s
}

// randomID fills an id; crypto/rand never fails.
func randomID(id *[16]byte) { _, _ = rand.Read(id[:]) }

// enter notes that a stream has come, or returns why it may not stay; leave notes that it
// has gone.
func (s *sessions) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errStopping
	case s.streams >= maxStreams:
		return link.Errorf(link.Stalled, "%d streams of programs are open already, no more are allowed", maxStreams)
	}
	s.streams++
	s.all.Add(1)
	return nil
}

func (s *sessions) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
	s.all.Done()
}

var errStopping = link.Errorf(link.GoingAway, "the daemon is stopping")

// DefaultProgramBytes bounds what the sessions of all programs hold together, in bytes.
const DefaultProgramBytes = 256 << 20

// find returns the session that somebody's hello asks for, or a new one. It has the stream
// noted, so that it does not end for want of one. source is where the stream comes from. The
// error is a *link.Error.
func (s *sessions) find(service *Service, h *program.Hello, id rules.Identity, source string) (*attached, error) {
	if h.Session == (link.SessionID{}) {
		return s.begin(service, h, id, source)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byID[h.Session]
	switch {
	case s.closed:
		return nil, errStopping
	case a != nil && !service.policyOf(id).Equal(service.policyOf(a.identity)):
		return nil, link.Errorf(link.NotAuthorised, "the session belongs to somebody who may do other things")
	case a != nil:
		a.came()
		return a, nil
	case h.Instance != s.instance:
		return nil, link.Errorf(link.Expired, "the session is of another daemon than the one that answers now: it was restarted")
	default:
		return nil, link.Errorf(link.Expired, "the session is over: no stream came within the grace of %v", s.grace)
	}
}

// begin opens a Ksock for a new session.
func (s *sessions) begin(service *Service, h *program.Hello, id rules.Identity, source string) (*attached, error) {
	s.mu.Lock()
	full := len(s.byID)+s.opening >= maxSessions
	closed := s.closed
	if !full {
		s.opening++
	}
	s.mu.Unlock()
	switch {
	case closed:
		return nil, errStopping
	case full:
		return nil, link.Errorf(link.Stalled, "%d programs are attached already, no more are allowed", maxSessions)
	}
	k, err := service.open(visit{identity: id, source: source, call: attachCall}, h.Mode)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opening--
	if err != nil {
		return nil, link.Errorf(link.BusFailed, "opening a Ksock: %v", err)
	}
	if s.closed {
		_ = k.Close()
		return nil, errStopping
	}
	a := newAttached(service, k, h, id, source)
	s.byID[a.welcome.Session] = a
	s.all.Add(1)
	a.came()
	return a, nil
}

// expire ends a session for which no stream has come.
func (s *sessions) expire(a *attached) {
	s.mu.Lock()
	idle := a.streams == 0 && s.byID[a.welcome.Session] == a
	if idle {
		delete(s.byID, a.welcome.Session)
	}
	s.mu.Unlock()
	if idle {
		a.end(nil)
		s.all.Done()
	}
}

// close ends every session, and waits until they are over and their streams gone.
func (s *sessions) close() {
	s.mu.Lock()
	s.closed = true
	var all []*attached
	for id, a := range s.byID {
		delete(s.byID, id)
		all = append(all, a)
	}
	s.mu.Unlock()
	var ending sync.WaitGroup
	for _, a := range all {
		ending.Go(func() {
			a.end(errStopping)
			s.all.Done()
		})
	}
	ending.Wait()
	s.all.Wait()
}
