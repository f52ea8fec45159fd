package kbusdev

import (
	"fmt"
	"strings"
	"time"
)

// A KsockID names one open Ksock on one bus, counting from 1 per device. 0 is
// nobody, or the bus itself.
type KsockID uint32

// A MsgID names a message: the network it was first sent on (0 is the bus it is
// read from) and its serial number there. The zero MsgID is no message.
type MsgID struct {
	Network uint32
	Serial  uint32
}

// IsZero reports whether id names no message.
func (id MsgID) IsZero() bool { return id == MsgID{} }

// String gives the id as "[network:serial]", the way KBUS tools print it.
func (id MsgID) String() string { return fmt.Sprintf("[%d:%d]", id.Network, id.Serial) }

// An Address is a Ksock seen across networks: KBUS's orig_from and final_to.
// Network 0 is the bus the message is on.
type Address struct {
	Network uint32
	Local   KsockID
}

// IsZero reports whether a names nobody.
func (a Address) IsZero() bool { return a == Address{} }

// String gives the address as "{network:ksock}".
func (a Address) String() string { return fmt.Sprintf("{%d:%d}", a.Network, a.Local) }

// Flags are the 32 flag bits of a message. The upper 16 are the user's and are
// never touched by a bus or a limpet.
type Flags uint32

// The flag bits KBUS knows.
const (
	// WantReply makes a message a request.
	WantReply Flags = 1 << 0
	// WantYouToReply is set by the bus, on the replier's copy of a request only.
	WantYouToReply Flags = 1 << 1
	// Synthetic is set by the bus, on messages it made itself.
	Synthetic Flags = 1 << 2
	// Urgent puts a message at the front of its recipients' queues.
	Urgent Flags = 1 << 3
	// AllOrWait keeps a send pending until every recipient has room.
	AllOrWait Flags = 1 << 8
	// AllOrFail refuses a send (EBUSY) unless every recipient has room.
	AllOrFail Flags = 1 << 9
	// UserFlags masks the bits that belong to the user.
	UserFlags Flags = 0xFFFF0000
)

var flagNames = []struct {
	bit  Flags
	name string
}{
	{WantReply, "WANT_A_REPLY"},
	{WantYouToReply, "WANT_YOU_TO_REPLY"},
	{Synthetic, "SYNTHETIC"},
	{Urgent, "URGENT"},
	{AllOrWait, "ALL_OR_WAIT"},
	{AllOrFail, "ALL_OR_FAIL"},
}

// String lists the set bits by their KBUS names, and what is left in hex.
func (f Flags) String() string {
	if f == 0 {
		return "0"
	}
	var parts []string
	for _, n := range flagNames {
		if f&n.bit != 0 {
			parts = append(parts, n.name)
			f &^= n.bit
		}
	}
	if f != 0 {
		parts = append(parts, fmt.Sprintf("0x%x", uint32(f)))
	}
	return strings.Join(parts, "|")
}

// A Message is one KBUS message, whole. It is a plain value: copying it shares
// Data. Nobody changes the bytes of Data once the message has been given to a
// Ksock or got from one, because a bus may share them between recipients.
type Message struct {
	// ID is given by the bus when its network is 0.
	ID MsgID
	// InReplyTo is the id of the request this message answers; zero if it is no reply.
	InReplyTo MsgID
	// To is the Ksock a reply goes to, or the replier a stateful request insists on.
	To KsockID
	// From is the Ksock that sent it, set by the bus; 0 is the bus.
	From KsockID
	// OrigFrom is who first sent a message that crossed a limpet.
	OrigFrom Address
	// FinalTo is the far replier that a stateful request across a limpet insists on.
	FinalTo Address
	// Extra is reserved by KBUS; a bus clears it.
	Extra uint32
	// Flags say what kind of message it is and how it is to be queued.
	Flags Flags
	// Name is the message's name, never a wildcard.
	Name string
	// Data is the payload; nil and empty are the same.
	Data []byte
	// Event is what a replier bind event says, in place of Data: as bytes it would
	// be in the byte order of one machine. It is nil in every other message, and in a
	// message of that name whose data is malformed. Nobody changes it.
	Event *BindEvent
	// Expires is when the answer to a request stops being of use; zero is never. Only
	// the embedded bus and links carry it: a device has no place for it.
	Expires time.Time
	// Trace is the trace that it belongs to; nil is none. It is carried as Expires is.
	// Nobody changes it.
	Trace *TraceContext
}

// Size is what m counts for where queues and windows are bounded in bytes: its
// name and its data.
func (m *Message) Size() int {
	if m.Event != nil {
		return len(m.Name) + bindEventHeader + paddedLen(len(m.Event.Name))
	}
	return len(m.Name) + len(m.Data)
}

// Expired reports whether m is a request whose answer is of no use any more.
func (m *Message) Expired(now time.Time) bool {
	return !m.Expires.IsZero() && !now.Before(m.Expires)
}

// IsReply reports whether m answers a request.
func (m *Message) IsReply() bool { return !m.InReplyTo.IsZero() }

// IsRequest reports whether m asks for a reply. KBUS lets a reply be one too.
func (m *Message) IsRequest() bool { return m.Flags&WantReply != 0 }

// WantsUsToReply reports whether the Ksock that read m owes the answer.
func (m *Message) WantsUsToReply() bool { return m.Flags&WantYouToReply != 0 }

// IsStateful reports whether m is a request for one particular replier.
func (m *Message) IsStateful() bool { return m.IsRequest() && !m.IsReply() && m.To != 0 }

// Kind says in one word what m is, for logs and status pages: "reply",
// "request", "stateful request" or "announcement".
func (m *Message) Kind() string {
	switch {
	case m.IsReply():
		return "reply"
	case m.IsStateful():
		return "stateful request"
	case m.IsRequest():
		return "request"
	default:
		return "announcement"
	}
}

// String says what m is on one line, for logs: kind, name, ids, Ksocks, flags and size,
// and what is not zero of the rest. It never shows the data.
func (m *Message) String() string {
	if m == nil {
		return "no message"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s id %s", m.Kind(), m.Name, m.ID)
	if m.IsReply() {
		fmt.Fprintf(&b, " in_reply_to %s", m.InReplyTo)
	}
	fmt.Fprintf(&b, " from %d", m.From)
	if m.To != 0 {
		fmt.Fprintf(&b, " to %d", m.To)
	}
	if !m.OrigFrom.IsZero() {
		fmt.Fprintf(&b, " orig_from %s", m.OrigFrom)
	}
	if !m.FinalTo.IsZero() {
		fmt.Fprintf(&b, " final_to %s", m.FinalTo)
	}
	if m.Flags != 0 {
		fmt.Fprintf(&b, " flags %s", m.Flags)
	}
	fmt.Fprintf(&b, " %d bytes", m.Size()-len(m.Name))
	return b.String()
}

// The names of the messages that a KBUS bus makes itself.
const (
	// NameReplierBindEvent announces that a replier was bound or unbound.
	NameReplierBindEvent = "$.KBUS.ReplierBindEvent"
	// NameUnbindEventsLost says that more unbind events were set aside than fit.
	NameUnbindEventsLost = "$.KBUS.UnbindEventsLost"
	// NameReplierGoneAway answers a request whose replier closed before reading it.
	NameReplierGoneAway = "$.KBUS.Replier.GoneAway"
	// NameReplierIgnored answers a request whose replier closed after reading it.
	NameReplierIgnored = "$.KBUS.Replier.Ignored"
	// NameReplierUnbound answers a request whose replier unbound before reading it.
	NameReplierUnbound = "$.KBUS.Replier.Unbound"
	// NameReplierDisappeared answers a waiting send whose recipient went away.
	NameReplierDisappeared = "$.KBUS.Replier.Disappeared"
	// NameReplierNotSameKsock answers a stateful request, across limpets, whose replier is another one by now.
	NameReplierNotSameKsock = "$.KBUS.Replier.NotSameKsock"
	// NameErrorSending answers a waiting send that failed for any other reason.
	NameErrorSending = "$.KBUS.ErrorSending"
	// NameRemoteErrorPrefix starts the names a limpet answers with when a far bus refused a request.
	NameRemoteErrorPrefix = "$.KBUS.RemoteError."
	// NameNotDelivered answers a request that no replier was given: it never ran.
	NameNotDelivered = NameRemoteErrorPrefix + "NotDelivered"
	// NameOutcomeUnknown answers a request that a replier may have been given: it may have run.
	NameOutcomeUnknown = NameRemoteErrorPrefix + "OutcomeUnknown"
	// NameExpired answers a request whose deadline passed before a replier was given it: it never ran.
	NameExpired = NameRemoteErrorPrefix + "Expired"
)
