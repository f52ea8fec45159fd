package translate

import "github.com/kbus-limpet/limpet/kbusdev"

// A Kind says what an effect asks for.
type Kind uint8

// What a limpet can be asked to do.
const (
	// Drop: the message ends here, for Reason.
	Drop Kind = iota
	// Forward Msg to the peer.
	Forward
	// Bounce Msg to the peer: the answer to a request it brought. It never waits.
	Bounce
	// Send Msg on our bus; tell the outcome with Sent or SendFailed.
	Send
	// Bind Name on our bus as replier; tell the outcome with BindDone.
	Bind
	// Unbind Name on our bus as replier; tell the outcome with UnbindDone.
	Unbind
	// Snapshot: ask the bus for an event per bound replier; tell how many messages
	// were queued afterwards with SnapshotAsked.
	Snapshot
	// Stop: the termination message was read.
	Stop
)

// String names the kind for logs.
func (k Kind) String() string {
	return [...]string{"drop", "forward", "bounce", "send", "bind", "unbind", "snapshot", "stop"}[k]
}

// A Reason says why a message ended in the limpet.
type Reason uint8

// The reasons, and what each means.
const (
	// NoReason: it did not end here.
	NoReason Reason = iota
	// OwnMessage: we wrote it ourselves.
	OwnMessage
	// PeersMessage: it is from the peer's network, coming round.
	PeersMessage
	// CameRound: it is from our own network and came back round a loop.
	CameRound
	// BroughtBefore: another link or an earlier session brought it to this bus.
	BroughtBefore
	// ReplyOfOthers: a listener's copy of a reply in somebody else's dialogue.
	ReplyOfOthers
	// UnknownReply: a reply to a request that is not open here.
	UnknownReply
	// LateReply: a reply to a request that was answered in the replier's place meanwhile.
	LateReply
	// ForgedBindEvent: a bind event that no bus made.
	ForgedBindEvent
	// BadBindEvent: a bind event whose data is malformed.
	BadBindEvent
	// OwnBindEvent: the event of a proxy binding of ours.
	OwnBindEvent
	// OutsidePattern: a bind event, of our bus or the peer's, for names outside our pattern.
	OutsidePattern
	// TooManyBinds: the peer asked for more proxy bindings than are allowed.
	TooManyBinds
	// BindEventUsed: a bind event that was carried out here, or noted.
	BindEventUsed
	// EventsLost: the bus's word that unbind events were lost, taken care of.
	EventsLost
	// Terminated: the termination message.
	Terminated
	// AskerGone: a reply whose requester has gone or waits no more.
	AskerGone
	// Refused: our bus refused it, or its name cannot cross a link.
	Refused
	// AnsweredHere: a request that was answered by the limpet itself.
	AnsweredHere
	// Unanswerable: a request from the peer without a network id, so that no answer could find back.
	Unanswerable
	// Stalled: the peer took nothing for too long, so this was not kept for it.
	Stalled
	// LinkLost: the link's epoch ended first.
	LinkLost
	// LinkDown: the link was down for too long, so this was not kept for it.
	LinkDown
	// Expired: a request whose deadline had passed.
	Expired
	// Unwanted: nobody at the peer, or behind it, listens to it.
	Unwanted
	// Denied: the peer may not do that here.
	Denied
	// Withheld: it is on our bus, and the peer may not hear it, or know of it.
	Withheld
	// ForeignOrigin: the peer says that it comes from a network which is not behind it.
	ForeignOrigin
	// NotRenamed: the renames of the link leave it no name on the other side: it would be
	// taken for another one, or be too long.
	NotRenamed
	numReasons
)

// NumReasons is how many reasons there are; each is below it.
const NumReasons = int(numReasons)

var reasonNames = [...]string{
	"none", "own_message", "peers_message", "came_round", "brought_before", "reply_of_others", "unknown_reply",
	"late_reply", "forged_bind_event", "bad_bind_event", "own_bind_event", "outside_pattern", "too_many_binds",
	"bind_event_used", "events_lost", "terminated", "asker_gone", "refused", "answered_here", "unanswerable",
	"stalled", "link_lost", "link_down", "expired", "unwanted", "denied", "withheld", "foreign_origin", "not_renamed",
}

// String returns the reason as a label: lower case, underscores.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}

// Loss reports whether a message that ended for this reason may be missed by somebody,
// and is worth a line where losses are shown. The other reasons are how messages end
// when all is well.
func (r Reason) Loss() bool {
	switch r {
	case NoReason, OwnMessage, PeersMessage, ReplyOfOthers, OwnBindEvent, OutsidePattern, BindEventUsed, EventsLost, Terminated, Unwanted, Withheld:
		return false
	default:
		return true
	}
}

// An Effect is one thing to do. It belongs to the caller of the method that
// appended it. Msg shares Data and Event with the message it was made from.
type Effect struct {
	Kind   Kind
	Reason Reason // with Drop; with Bounce and an own Send, why we answer ourselves
	Own    bool   // the Send is an answer of the limpet's own making
	Msg    kbusdev.Message
	Name   string // with Bind and Unbind
}

func drop(fx []Effect, why Reason) []Effect { return append(fx, Effect{Kind: Drop, Reason: why}) }

func emit(fx []Effect, k Kind, msg *kbusdev.Message) []Effect {
	return append(fx, Effect{Kind: k, Msg: *msg})
}

// bounced is a reply of the limpet's own making to a request.
func bounced(request kbusdev.MsgID, asker kbusdev.KsockID, name string) kbusdev.Message {
	return kbusdev.Message{Name: name, To: asker, InReplyTo: request}
}

func ownAnswer(reply kbusdev.Message, why Reason) Effect {
	return Effect{Kind: Send, Own: true, Reason: why, Msg: reply}
}
