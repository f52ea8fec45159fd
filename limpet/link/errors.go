package link

import (
	"errors"
	"fmt"
	"io"
)

// A Code says why a link was refused or ended. Its numbers are those of ErrorCode in
// the protocol.
type Code int32

// The codes. PROTOCOL.md describes when each is sent.
const (
	// SameNetworkID: both ends have the same network id.
	SameNetworkID Code = 1
	// BadNetworkID: a network id is 0.
	BadNetworkID Code = 2
	// Version: the receiver does not speak that version of the protocol.
	Version Code = 3
	// NotAuthorised: the peer may not link here.
	NotAuthorised Code = 4
	// Clash: another bus with that network id can be reached already.
	Clash Code = 5
	// Loop: the same bus can be reached already, by another way.
	Loop Code = 6
	// Replaced: a newer stream takes the place of this one. The epoch goes on.
	Replaced Code = 7
	// Protocol: the peer broke the protocol.
	Protocol Code = 8
	// Stalled: the peer took nothing for too long.
	Stalled Code = 9
	// GoingAway: the sender stops.
	GoingAway Code = 10
	// BusFailed: the sender's bus failed.
	BusFailed Code = 11
	// Expired: the session that was to be resumed is over.
	Expired Code = 12
)

var codeNames = map[Code]string{
	SameNetworkID: "same network id", BadNetworkID: "bad network id", Version: "version", NotAuthorised: "not authorised",
	Clash: "clash", Loop: "loop", Replaced: "replaced", Protocol: "protocol", Stalled: "stalled", GoingAway: "going away",
	BusFailed: "bus failed", Expired: "expired",
}

// String returns the code in words, such as "same network id".
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code %d", int32(c))
}

// An Error refuses or ends a link, with the same words at both ends. It is a frame
// too. errors.Is compares codes.
type Error struct {
	// Code is the verdict.
	Code Code
	// Message says it for people.
	Message string
	// NetworkID is the network concerned; 0 if there is none.
	NetworkID uint32
	// Remote reports that the peer decided it.
	Remote bool
}

// Error returns who decided, the message and the code.
func (e *Error) Error() string {
	what := "link ended"
	if e.Refusal() {
		what = "link refused"
	}
	if e.Remote {
		what += " by the peer"
	}
	return fmt.Sprintf("%s: %s (%s)", what, e.Message, e.Code)
}

// Refusal reports whether dialling again soon is pointless.
func (e *Error) Refusal() bool {
	switch e.Code {
	case SameNetworkID, BadNetworkID, Version, NotAuthorised, Clash, Loop, Protocol:
		return true
	default:
		return false
	}
}

// Is reports whether target is an *Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errorf returns an *Error of our own making.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrPeerClosed is the end of a stream that the peer closed in order without giving a
// reason. It wraps io.EOF.
var ErrPeerClosed = fmt.Errorf("the peer closed the stream: %w", io.EOF)

// ErrNoProgress ends a stream whose peer lives, but takes no messages: see StuckAfter.
var ErrNoProgress = errors.New("the peer takes no messages off its hands")

// streamError says what a stream was doing when it failed, unless the error says more.
func streamError(doing string, err error) error {
	var verdict *Error
	switch {
	case errors.As(err, &verdict):
		return err
	case errors.Is(err, io.EOF):
		return ErrPeerClosed
	}
	return fmt.Errorf("%s: %w", doing, err)
}
