package kbusdev

import (
	"context"
	"errors"
	"strings"
	"syscall"
)

// An Outcome says what became of a request. The zero value says nothing.
type Outcome uint8

// The outcomes of a request.
const (
	// Answered: a replier has written the reply.
	Answered Outcome = iota + 1
	// NeverRan: no replier has read the request, and none will. It is safe to repeat.
	NeverRan
	// MayHaveRun: a replier may have read the request, and may have carried it out.
	MayHaveRun
	// Expired: the deadline passed before a replier was given the request, which never
	// ran.
	Expired
)

// String names the outcome as the API does, "NEVER_RAN".
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return outcomeNames[0]
}

var outcomeNames = [...]string{"OUTCOME_UNSPECIFIED", "ANSWERED", "NEVER_RAN", "MAY_HAVE_RUN", "EXPIRED"}

// OutcomeFromName returns the outcome that String names so; false for any other word.
func OutcomeFromName(name string) (Outcome, bool) {
	for o, known := range outcomeNames {
		if o > 0 && known == name {
			return Outcome(o), true
		}
	}
	return 0, false
}

// namePrefix starts the names of all messages that a bus or a limpet makes itself.
const namePrefix = "$.KBUS."

// What the replies that a bus makes in a replier's place promise, and mean to a person.
// A bus answers Ignored for a request that was read, the others for one that was not:
// also ErrorSending, for a send that waited is checked anew before a copy is queued.
var busReplies = map[string]struct {
	outcome Outcome
	meaning string
}{
	"Replier.GoneAway":           {NeverRan, "its replier went away before it read the request"},
	"Replier.Unbound":            {NeverRan, "its replier unbound before it read the request"},
	"Replier.Disappeared":        {NeverRan, "its replier went away while the request waited for room"},
	"Replier.NotSameKsock":       {NeverRan, "its replier is no longer the one asked for"},
	"Replier.Ignored":            {MayHaveRun, "its replier went away without an answer"},
	"ErrorSending":               {NeverRan, "the bus failed to send the request when it had waited for room"},
	"RemoteError.NotDelivered":   {NeverRan, "the link was lost before the request left"},
	"RemoteError.OutcomeUnknown": {MayHaveRun, "the link was lost, or the replier keeps silent"},
	"RemoteError.Expired":        {Expired, "its deadline passed before a replier was given it"},
}

const remoteError = "RemoteError."

// OutcomeOf returns what a reply says of the request that it answers. reason is empty if
// a replier has written it, else the word of the bus or limpet that did: the name without
// "$.KBUS.", such as "Replier.GoneAway" or "RemoteError.EADDRNOTAVAIL", with an errno
// always by its symbol.
//
// RemoteError.<ERRNO> is the one word that has two meanings. A limpet answers so for a
// request that the far bus refused, and for a reply that the asker's bus refused: one
// that is too large, or finds no room, or has a name that cannot cross. Only the second
// has an OrigFrom where it is made. Behind more than one link both have it; so an errno
// that a reply can be refused with is NeverRan only across one link.
//
// NeverRan of a stateful request across a limpet is a guess in one case, on a bus of the
// kernel module, which loses requests: a replier that unbinds its last name and is silent
// for 2 s counts as gone.
func OutcomeOf(reply *Message) (o Outcome, reason string) {
	word, ok := strings.CutPrefix(reply.Name, namePrefix)
	if !ok {
		return Answered, ""
	}
	if known, ok := busReplies[word]; ok {
		return known.outcome, word
	}
	errname, remote := strings.CutPrefix(word, remoteError)
	if !remote {
		if strings.HasPrefix(word, "Replier.") {
			return MayHaveRun, word // from a bus that knows more words
		}
		return Answered, "" // a program's own name
	}
	errno, known := ErrnoFromName(errname)
	if !known {
		return MayHaveRun, word
	}
	o = outcomeOfErrno(errno)
	if !onlyRequests(errno) && !reply.OrigFrom.IsZero() {
		o = MayHaveRun
	}
	return o, remoteError + ErrnoName(errno)
}

// onlyRequests reports whether a bus refuses requests with errno, but never replies whose
// requester waits.
func onlyRequests(errno syscall.Errno) bool {
	return errno == syscall.EADDRNOTAVAIL || errno == syscall.ENOLCK || errno == syscall.EPIPE
}

// OutcomeOfRefusal returns what an error of Ksock.Send says of the request that was to
// be sent. A bus checks everything before it queues the first copy, so what it refuses
// never ran; of other errors nothing is known.
func OutcomeOfRefusal(err error) Outcome {
	errno, ok := ErrnoOf(err)
	if !ok {
		return MayHaveRun
	}
	o := outcomeOfErrno(errno)
	if o == NeverRan && errors.Is(err, context.DeadlineExceeded) {
		return Expired // it waited for room
	}
	return o
}

func outcomeOfErrno(errno syscall.Errno) Outcome {
	switch errno {
	case syscall.EADDRNOTAVAIL, syscall.EAGAIN, syscall.EALREADY, syscall.EBADF, syscall.EBADMSG, syscall.EBUSY,
		syscall.ECONNREFUSED, syscall.EINVAL, syscall.EMSGSIZE, syscall.ENAMETOOLONG, syscall.ENOLCK, syscall.ENOMSG, syscall.EPIPE:
		return NeverRan
	default:
		return MayHaveRun
	}
}

// ReasonErrno returns the errno that a reason of OutcomeOf names, if it names one.
func ReasonErrno(reason string) (syscall.Errno, bool) {
	return ErrnoFromName(strings.TrimPrefix(reason, remoteError))
}

// ExplainReason says what a reason of OutcomeOf means, for people.
func ExplainReason(reason string) string {
	if known, ok := busReplies[reason]; ok {
		return known.meaning
	}
	errno, ok := ReasonErrno(reason)
	switch {
	case !ok:
		return "the bus says " + reason
	case errno == syscall.EADDRNOTAVAIL:
		return "no replier is bound to it on the far bus"
	case errno == syscall.EBUSY:
		return "a queue on the way is full"
	default:
		return "a bus on the way says: " + explain[errno] + " (" + ErrnoName(errno) + ")"
	}
}
