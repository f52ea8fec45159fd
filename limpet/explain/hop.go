package explain

import (
	"slices"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Bounds of questions and answers.
const (
	// MaxHops is over how many links a question is asked on.
	MaxHops = 16
	// MaxWithin is how long an answer may take.
	MaxWithin = 30 * time.Second
	// MaxAnswer bounds the answer of a peer, in the bytes that Hop.Size counts.
	MaxAnswer = 24 << 10
	// MaxOperator bounds the answer to an operator likewise.
	MaxOperator = 512 << 10
	// MaxListeners is how many listeners a hop names; the others are counted.
	MaxListeners = 64
	// MaxBranches is how many links a hop names, and asks; the others are counted.
	MaxBranches = 256
	// maxText bounds what is told in words, in bytes.
	maxText = 300
)

// A Judgement is what rules say of what somebody does with the message.
type Judgement struct {
	// Action is the word of a rule, such as "announce".
	Action string
	// Allowed reports whether it is allowed.
	Allowed bool
	// Rule is the number of the rule that decides, counted from 1, among those of the link if
	// OfLink; 0 if none matches.
	Rule   uint32
	OfLink bool
	// Text is that rule on one line, or says that there is none.
	Text string
}

// A Stop is where and why a message goes no further.
type Stop struct {
	// Reason is why, as messages that end are counted: "denied", "unwanted".
	Reason string
	// Answer is the name of the reply that a request would get in place of a replier's; "" if
	// it would get none, or it is no request.
	Answer string
	// Errno is the name of the error with which the bus refuses it; "" if it does not.
	Errno string
}

// A Recipient is somebody to whom the bus would give the message.
type Recipient struct {
	// Ksock is theirs, and Binding the name by which they get it.
	Ksock   kbusdev.KsockID
	Binding string
	// Link is set if it is the Ksock of a limpet: the link's name. There is a branch for it.
	Link string
	// Denied is the rule that does not let a program hear it; nil if it may.
	Denied *Judgement
	// NoRoom reports that its queue is full now.
	NoRoom bool
}

// A Claim is a name that the peer of a link says is bound there, and that is not bound here.
type Claim struct {
	Link, Name string
	// Denied reports that the rules do not let the peer bind it.
	Denied bool
}

// A Hop is what would become of the message on one bus.
type Hop struct {
	// Network is that of the bus.
	Network uint32
	// Message is the message as the bus has it, or would: its header and name. A serial number
	// of 0 is not known yet.
	Message kbusdev.Message
	// Rule is what the rules say of who sends it here; nil without rules.
	Rule *Judgement
	// Stop, unless nil, is why the bus does not get it, or refuses it.
	Stop *Stop
	// Claims are who else would reply to it, if nobody does.
	Claims []Claim
	// Replier is who would answer a request; nil if nobody.
	Replier *Recipient
	// Listeners are who would hear it, at most MaxListeners, and MoreListeners how many are
	// not named.
	Listeners     []Recipient
	MoreListeners uint32
	// Branches are the links to whose limpets the bus would give it, and links over which
	// it might go if they were up; at most MaxBranches, and MoreBranches how many are not told.
	Branches     []Branch
	MoreBranches uint32
	// Told is set, and nothing else but Network, by a peer that tells us no more than what
	// can be found out by sending.
	Told *Outcome
}

// A Branch is what would become of the message on the way over one link.
type Branch struct {
	// Link is the link's name, Network its peer's, 0 if that is not known.
	Link    string
	Network uint32
	// Request reports that the peer would get it as the request that it is, else as an
	// announcement, or a copy for listeners.
	Request bool
	// Message is the message as it would be sent to the peer.
	Message kbusdev.Message
	// Rule is what the rules say of the peer's hearing it; nil without rules, or if they are
	// not asked.
	Rule *Judgement
	// Stop, unless nil, is why it is not sent.
	Stop *Stop
	// End, unless None, is why nothing is known of what would become of it there, and Why the
	// same in more words, perhaps "".
	End End
	Why string
	// Took is how long the peer's answer took.
	Took time.Duration
	// Next is what would become of it there; nil if there is a Stop or an End.
	Next *Hop
}

// An End says why an explanation ends at a link.
type End uint8

// The ends.
const (
	// None: it goes on.
	None End = iota
	// Classic: the peer is an upstream limpet, which cannot be asked.
	Classic
	// OldPeer: the peer is a limpetd without the feature.
	OldPeer
	// NotLinked: the link is not up, so that the bus gives it nothing.
	NotLinked
	// Detached: the link has broken, and the message would wait for the peer to come back.
	Detached
	// NoAnswer: the peer has not answered in time.
	NoAnswer
	// Busy: the peer, or we on its behalf, have been asked too often.
	Busy
	// TooFar: it has gone over MaxHops links.
	TooFar
	// TooLarge: there was no room for the peer's answer.
	TooLarge
	// Unlisted: the bus cannot tell what is bound on it.
	Unlisted
	// Hidden: the peer tells no more.
	Hidden
	numEnds
)

var endNames = [numEnds]string{"none", "classic", "old_peer", "not_linked", "detached", "no_answer", "busy", "too_far", "too_large", "unlisted", "hidden"}

// String returns the end as a word: lower case, underscores.
func (e End) String() string {
	if e < numEnds {
		return endNames[e]
	}
	return "unknown"
}

// Clip bounds what is told in words.
func Clip(s string) string {
	if len(s) > maxText {
		return s[:maxText-3] + "..."
	}
	return s
}

// Size returns what a hop counts for where answers are bounded, in bytes: at least what it
// takes when it is encoded.
func (h *Hop) Size() int {
	n := 64 + messageSize(&h.Message) + h.Rule.size() + h.Stop.size()
	for _, c := range h.Claims {
		n += 16 + len(c.Link) + len(c.Name)
	}
	if h.Replier != nil {
		n += h.Replier.Size()
	}
	for i := range h.Listeners {
		n += h.Listeners[i].Size()
	}
	for i := range h.Branches {
		n += h.Branches[i].Size()
	}
	if h.Told != nil {
		n += 64 + len(h.Told.Answer) + len(h.Told.Errno)
	}
	return n
}

// messageSize counts the header too: every number of it takes at most six bytes.
func messageSize(m *kbusdev.Message) int { return 96 + len(m.Name) }

func (j *Judgement) size() int {
	if j == nil {
		return 0
	}
	return 32 + len(j.Action) + len(j.Text)
}

func (s *Stop) size() int {
	if s == nil {
		return 0
	}
	return 16 + len(s.Reason) + len(s.Answer) + len(s.Errno)
}

// Size is Hop.Size's.
func (r *Recipient) Size() int { return 32 + len(r.Binding) + len(r.Link) + r.Denied.size() }

// Size is Hop.Size's.
func (b *Branch) Size() int {
	n := 80 + len(b.Link) + messageSize(&b.Message) + b.Rule.size() + b.Stop.size() + len(b.Why)
	if b.Next != nil {
		n += b.Next.Size()
	}
	return n
}

// An Outcome is what somebody who sends the message would find out.
type Outcome struct {
	// By is who would answer a request; zero if nobody would, or it is not known.
	By kbusdev.Address
	// Answer is the name of the reply that a request would get instead, and Errno the error
	// with which the bus would refuse to send it; "" if it would not.
	Answer, Errno string
	// Heard reports that somebody would hear an announcement, or a copy of a request.
	Heard bool
	// Unseen, unless None, is why more than this may become of it: of a request that nobody
	// knows who would answer it, of an announcement that others may hear it.
	Unseen End
}

// Outcome returns what the tree amounts to.
func (h *Hop) Outcome() Outcome {
	if h.Told != nil {
		return *h.Told
	}
	var o Outcome
	if h.Stop != nil {
		o.Answer, o.Errno = h.Stop.Answer, h.Stop.Errno
	} else if h.Replier != nil && h.Replier.Link == "" {
		o.By = kbusdev.Address{Network: h.Network, Local: h.Replier.Ksock}
	}
	o.Heard = h.MoreListeners > 0 || slices.ContainsFunc(h.Listeners, func(r Recipient) bool { return r.Link == "" && r.Denied == nil && !r.NoRoom })
	if h.MoreBranches > 0 {
		o.Unseen = TooLarge
	}
	for i := range h.Branches {
		b := &h.Branches[i]
		var next Outcome
		switch {
		case b.Stop != nil:
			next.Answer = b.Stop.Answer
		case b.Next != nil:
			next = b.Next.Outcome()
		case b.End == NotLinked: // nothing is sent there
			continue
		default:
			next.Unseen = b.End
		}
		o.Heard = o.Heard || next.Heard
		if b.Request {
			o.By, o.Answer = next.By, next.Answer
		}
		if next.Unseen != None && (b.Request || h.Replier == nil) {
			o.Unseen = next.Unseen
		}
	}
	return o
}

// Hearers returns who would hear the message, as far as is known: programs on all the buses.
func (h *Hop) Hearers() []kbusdev.Address {
	var all []kbusdev.Address
	for _, l := range h.Listeners {
		if l.Link == "" && l.Denied == nil && !l.NoRoom {
			all = append(all, kbusdev.Address{Network: h.Network, Local: l.Ksock})
		}
	}
	for i := range h.Branches {
		if next := h.Branches[i].Next; next != nil {
			all = append(all, next.Hearers()...)
		}
	}
	return all
}
