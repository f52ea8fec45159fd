package bus

import (
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// DefaultNames bounds the names that programs have bound through the API, all together: each
// is told to every peer. One attached program may have half as many.
const DefaultNames = 1 << 18

// WithNames sets another bound than DefaultNames.
func WithNames(n int) Option { return func(s *Service) { s.maxNames = int64(n) } }

// takeNames takes room for n names more. The error is a *kbusdev.OpError with ENOLCK.
func (s *Service) takeNames(n int, name, source string) error {
	if s.names.Add(int64(n)) > s.maxNames {
		s.names.Add(int64(-n))
		return s.tooMany(name, source)
	}
	return nil
}

func (s *Service) giveNames(n int) { s.names.Add(int64(-n)) }

func (s *Service) tooMany(name, source string) error {
	s.tally.Reach("names of programs", source)
	return &kbusdev.OpError{Op: "bind", Name: name, Err: syscall.ENOLCK}
}

// bind binds a name for the program.
func (a *attached) bind(name string, as kbusdev.Role) error {
	if a.names.Load() >= a.service.maxNames/2 {
		return a.service.tooMany(name, a.share.source)
	}
	if err := a.service.takeNames(1, name, a.share.source); err != nil {
		return err
	}
	err := a.ksock.Bind(name, as)
	if err != nil {
		a.service.giveNames(1)
		return err
	}
	a.names.Add(1)
	return nil
}

func (a *attached) unbind(name string, as kbusdev.Role) error {
	err := a.ksock.Unbind(name, as)
	if err == nil {
		a.names.Add(-1)
		a.service.giveNames(1)
	}
	return err
}
