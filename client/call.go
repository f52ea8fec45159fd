package client

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// What errors.Is finds in the error of a Call, beside the errno and the context's error.
var (
	// ErrNeverRan: no replier has read the request, and none will. It is safe to repeat.
	// What has expired never ran either.
	ErrNeverRan = errors.New("the request never ran")
	// ErrMayHaveRun: a replier may have read the request, and may have carried it out.
	ErrMayHaveRun = errors.New("the request may have run")
	// ErrExpired: the deadline passed before a replier was given the request, which never
	// ran.
	ErrExpired = errors.New("the request expired")
)

// A NoAnswerError is a Call that no replier has answered. errors.Is finds ErrNeverRan,
// ErrMayHaveRun and ErrExpired in it, the errno if there is one, and the error of a
// context that has ended.
type NoAnswerError struct {
	// Name is the request's.
	Name string
	// Outcome is NeverRan, MayHaveRun or Expired.
	Outcome kbusdev.Outcome
	// Reason is the word of the bus or limpet that answered in the replier's place:
	// "Replier.GoneAway", "RemoteError.EADDRNOTAVAIL". It is the errno's symbol if our own
	// bus refused the request, and empty if the daemon did not say.
	Reason string
	// Reply is what the bus or limpet answered; nil if no reply came.
	Reply *kbusdev.Message
	// Err is why no reply came; nil if Reply is not.
	Err error
}

// Error says why there is no answer, and what that means for the request.
func (e *NoAnswerError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("no answer to %s: %s; %s", e.Name, kbusdev.ExplainReason(e.Reason), promise[e.Outcome])
	}
	if e.Outcome == kbusdev.MayHaveRun {
		return fmt.Sprintf("no answer to %s: %v; %s", e.Name, e.Err, promise[e.Outcome])
	}
	return e.Err.Error()
}

var promise = map[kbusdev.Outcome]string{
	kbusdev.NeverRan:   "it never ran, and is safe to repeat",
	kbusdev.MayHaveRun: "it may have run",
	kbusdev.Expired:    "it never ran",
}

// Unwrap returns the outcome's error, and what lies behind it.
func (e *NoAnswerError) Unwrap() []error {
	var all []error
	switch e.Outcome {
	case kbusdev.NeverRan:
		all = append(all, ErrNeverRan)
	case kbusdev.Expired:
		all = append(all, ErrExpired, ErrNeverRan, context.DeadlineExceeded)
	default:
		all = append(all, ErrMayHaveRun)
	}
	if errno, ok := kbusdev.ReasonErrno(e.Reason); ok {
		all = append(all, errno)
	}
	if e.Err != nil {
		all = append(all, e.Err)
	}
	return all
}

// Call sends a request and waits for its reply until ctx ends; the deadline of ctx goes
// with the request, so that no replier is given it in vain. Of m, Name, Data, To, FinalTo
// and Flags count: URGENT, ALL_OR_FAIL, ALL_OR_WAIT (which waits until ctx ends) and the
// user's.
//
// It returns the reply that a replier has written. Everything else is a *NoAnswerError,
// which tells whether the request may have run: also when ctx ends, or the daemon cannot
// be reached. When ctx ends, a request that no replier has read is taken back, where the
// bus can do that (see kbusdev/membus), and a late reply goes to nobody.
func (b *Bus) Call(ctx context.Context, m *kbusdev.Message) (*kbusdev.Message, error) {
	if m == nil {
		return nil, &NoAnswerError{Outcome: kbusdev.NeverRan, Reason: "EINVAL", Err: errNil("call", "request")}
	}
	var daemon peer.Peer
	r, err := b.bus.Call(traced(ctx, m), &pb.CallRequest{
		Name: m.Name, Data: m.Data, Flags: flagsToProto(m.Flags), UserFlags: uint32(m.Flags & kbusdev.UserFlags),
		To: uint32(m.To), FinalToNetwork: m.FinalTo.Network, FinalToLocal: uint32(m.FinalTo.Local),
	}, grpc.Peer(&daemon))
	if err != nil {
		return nil, callFailed(m.Name, err, daemon.Addr != nil)
	}
	reply := fromProto(r.GetReply())
	if r.GetOutcome() == pb.Outcome_OUTCOME_ANSWERED {
		return reply, nil
	}
	return nil, &NoAnswerError{Name: m.Name, Outcome: kbusdev.Outcome(r.GetOutcome()), Reason: r.GetReason(), Reply: reply}
}

// callFailed returns the error of a Call that ended with a status. left reports whether
// the request may have left this process.
func callFailed(name string, err error, left bool) error {
	e := &NoAnswerError{Name: name, Outcome: kbusdev.MayHaveRun, Err: statusError("call", name, err)}
	info := infoOf(err)
	if o, ok := kbusdev.OutcomeFromName(info.GetMetadata()["outcome"]); ok {
		e.Outcome, e.Reason = o, info.GetMetadata()["errno"]
		return e
	}
	if !left {
		e.Outcome = kbusdev.NeverRan
		if errors.Is(e.Err, context.DeadlineExceeded) {
			e.Outcome = kbusdev.Expired
		}
	}
	return e
}
