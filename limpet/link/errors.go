package link

import (
	"errors"
	"fmt"
	"io"
	"strings"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// A Code is why a link was refused or ended: the protocol's ErrorCode.
type Code = pb.ErrorCode

// The codes, shorter.
const (
	SameNetworkID = pb.ErrorCode_ERROR_CODE_SAME_NETWORK_ID
	BadNetworkID  = pb.ErrorCode_ERROR_CODE_BAD_NETWORK_ID
	Version       = pb.ErrorCode_ERROR_CODE_VERSION
	NotAuthorised = pb.ErrorCode_ERROR_CODE_NOT_AUTHORISED
	Clash         = pb.ErrorCode_ERROR_CODE_CLASH
	Loop          = pb.ErrorCode_ERROR_CODE_LOOP
	Replaced      = pb.ErrorCode_ERROR_CODE_REPLACED
	Protocol      = pb.ErrorCode_ERROR_CODE_PROTOCOL
	Stalled       = pb.ErrorCode_ERROR_CODE_STALLED
	GoingAway     = pb.ErrorCode_ERROR_CODE_GOING_AWAY
	BusFailed     = pb.ErrorCode_ERROR_CODE_BUS
)

// CodeName gives a code in words, like "same network id".
func CodeName(c Code) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(c.String(), "ERROR_CODE_"), "_", " "))
}

// An Error ends or refuses a link, with the same words at both ends. errors.Is
// compares codes.
type Error struct {
	// Code is the verdict.
	Code Code
	// Message says it for people.
	Message string
	// NetworkID is the one concerned, 0 if none.
	NetworkID uint32
	// Remote is true when the peer decided it.
	Remote bool
}

// Error gives who decided, the verdict and the message.
func (e *Error) Error() string {
	who := "link refused"
	if e.Remote {
		who = "link refused by the peer"
	}
	if !e.Refusal() {
		who = strings.Replace(who, "refused", "ended", 1)
	}
	return fmt.Sprintf("%s: %s (%s)", who, e.Message, CodeName(e.Code))
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

func errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrPeerClosed is the end of a stream on which the peer gave no reason. It
// wraps io.EOF.
var ErrPeerClosed = fmt.Errorf("the peer closed the link: %w", io.EOF)

func streamError(doing string, err error) error {
	if errors.Is(err, io.EOF) {
		return ErrPeerClosed
	}
	return fmt.Errorf("%s: %w", doing, err)
}
