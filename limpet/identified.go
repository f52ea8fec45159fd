package limpet

import (
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// An Identified stream tells who is at its other end. Of another stream's nothing is known.
type Identified interface {
	link.Stream
	// Identity returns who that is, as far as verified. It may be called once something has
	// been received.
	Identity() rules.Identity
	// Transport returns how the stream is kept from others: "tls", "unix" or "plain".
	Transport() string
}

// Identify returns the stream with who is at its other end, for one that does not tell.
func Identify(s link.Stream, who rules.Identity, transport string) Identified {
	return &identified{s, who, transport}
}

type identified struct {
	link.Stream
	who       rules.Identity
	transport string
}

func (s *identified) Identity() rules.Identity { return s.who }
func (s *identified) Transport() string        { return s.transport }

// otherEnd returns what a stream tells.
func otherEnd(s link.Stream) (who rules.Identity, transport string) {
	if i, ok := s.(Identified); ok {
		return i.Identity(), i.Transport()
	}
	return rules.Identity{}, ""
}
