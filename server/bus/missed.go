package bus

import "github.com/kbus-limpet/limpet/kbusdev"

// missed returns what a listening Ksock has missed for want of room; 0 if its bus does
// not tell.
func missed(k kbusdev.Ksock) uint64 {
	if k, ok := k.(interface{ Missed() uint64 }); ok {
		return k.Missed()
	}
	return 0
}

func (s *Service) listens(k kbusdev.Ksock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listening[k] = struct{}{}
}

func (s *Service) listensNoMore(k kbusdev.Ksock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listening, k)
	s.missed += missed(k)
}

// Missed returns how many messages the clients of Listen and Attach have missed so far because
// their queues on the bus were full. A bus that does not tell counts as 0.
func (s *Service) Missed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.missed
	for k := range s.listening {
		n += missed(k)
	}
	return n
}
