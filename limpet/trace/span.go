package trace

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Kind says which end of a link a span is of.
type Kind uint8

// The kinds of spans.
const (
	// Client: the limpet whose bus the request is read from.
	Client Kind = iota
	// Server: the limpet whose bus it is brought to.
	Server
)

// A Span is one end of a link that a request has crossed, or should have. It has ended.
type Span struct {
	// Context names the trace and the span.
	Context kbusdev.TraceContext
	// Parent is the span id of the parent; all zero is none.
	Parent [8]byte
	// Kind says which end it is.
	Kind Kind
	// Name is the request's.
	Name string
	// ID is the request's, with the number of the network that it was first sent on.
	ID kbusdev.MsgID
	// Network is the id of our network, Peer that of the one at the other end.
	Network, Peer uint32
	// Start and End are its times.
	Start, End time.Time
	// Answer is the name of the answer; "" if there was none.
	Answer string
	// Outcome is what the answer says of the request, and Reason its word if no replier has
	// written it; see kbusdev.OutcomeOf. Outcome is 0 if the link ended before an answer.
	Outcome kbusdev.Outcome
	Reason  string
}
