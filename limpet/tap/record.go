package tap

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A Direction says which way a message goes.
type Direction uint8

// The directions.
const (
	// ToPeer messages were read from our bus.
	ToPeer Direction = iota + 1
	// FromPeer messages were brought by the peer.
	FromPeer
)

// A Verdict says what has become of a message here.
type Verdict uint8

// The verdicts.
const (
	// Forwarded: it was queued for the peer.
	Forwarded Verdict = iota + 1
	// Delivered: our bus has taken it.
	Delivered
	// Dropped: it has ended here, for the record's Reason.
	Dropped
)

// String returns the verdict as it stands in Config.Reasons.
func (v Verdict) String() string {
	return [...]string{"unknown", "forwarded", "delivered", "dropped"}[v]
}

// A Kind says what a message is.
type Kind uint8

// The kinds.
const (
	// Announcement: it wants no reply, and is none.
	Announcement Kind = iota + 1
	// Request: it wants a reply.
	Request
	// Reply: it is one.
	Reply
	// BindEvent: it says that a replier was bound or unbound.
	BindEvent
)

// KindOf returns what a message is.
func KindOf(m *kbusdev.Message) Kind {
	switch {
	case m.Event != nil:
		return BindEvent
	case m.IsReply():
		return Reply
	case m.IsRequest():
		return Request
	default:
		return Announcement
	}
}

// A Header is a message as one side of a link sees it, without its data.
type Header struct {
	ID, InReplyTo     kbusdev.MsgID
	To, From          kbusdev.KsockID
	OrigFrom, FinalTo kbusdev.Address
	Flags             kbusdev.Flags
	Name              string
}

// HeaderOf returns the header of a message. It shares the name.
func HeaderOf(m *kbusdev.Message) Header {
	return Header{
		ID: m.ID, InReplyTo: m.InReplyTo, To: m.To, From: m.From, OrigFrom: m.OrigFrom, FinalTo: m.FinalTo, Flags: m.Flags, Name: m.Name,
	}
}

// IsZero reports whether there is no header: every message has a name.
func (h *Header) IsZero() bool { return h.Name == "" }

// A Record is what a Tap keeps of a message.
type Record struct {
	// At is when it was handed on, or ended.
	At time.Time
	// Link is the link's name, Direction its way on it.
	Link      string
	Direction Direction
	// Verdict is what became of it, Reason why it was dropped.
	Verdict Verdict
	Reason  translate.Reason
	// Own reports that it is an answer of the limpet's own making.
	Own bool
	// Kind is what it is.
	Kind Kind
	// Read is the message as it was read from our bus, or as the peer brought it. It is zero
	// if the limpet made it, and if it was read before: it was forwarded then, or there was
	// no tap yet.
	Read Header
	// Given is the message as it was given to the other side, or, if it was dropped after it
	// had been forwarded, or was refused by our bus, as it was to be given. It is zero if it
	// was to be given to nobody.
	Given Header
	// Here is its name on our bus; "" if it has none there, or that is no longer known.
	Here string
	// Size is how many bytes of data it has.
	Size int
	// Data is the beginning of them, as much as the tap keeps; none without Here.
	Data []byte
	// Event is what a bind event says; nil otherwise. Nobody changes it.
	Event *kbusdev.BindEvent
}
