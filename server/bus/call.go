package bus

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A withdrawer is a Ksock that can take back a request which no replier has read.
type withdrawer interface {
	Withdraw(id kbusdev.MsgID) bool
}

// Call sends a request and waits for its reply. Whatever it returns says what became of
// the request.
func (s *Service) Call(ctx context.Context, r *pb.CallRequest) (*pb.CallResponse, error) {
	m, err := fromClient(r)
	if err != nil {
		return nil, withOutcome(err, kbusdev.NeverRan)
	}
	m.Flags |= kbusdev.WantReply
	m.Trace = s.trace(ctx)
	m.To = kbusdev.KsockID(r.GetTo())
	m.FinalTo = kbusdev.Address{Network: r.GetFinalToNetwork(), Local: kbusdev.KsockID(r.GetFinalToLocal())}
	if deadline, ok := ctx.Deadline(); ok {
		m.Expires = deadline
		early, cancel := context.WithDeadline(ctx, deadline.Add(-wordTakes(time.Until(deadline))))
		defer cancel()
		ctx = early
	}
	k, done, err := s.ksock(ctx)
	if err != nil {
		return nil, withOutcome(err, kbusdev.NeverRan)
	}
	defer done()
	if err := ctx.Err(); err != nil {
		return nil, withOutcome(refused(err), neverSent(err))
	}
	start := time.Now()
	id, err := k.Send(ctx, m)
	if err != nil {
		return nil, withOutcome(refused(err), kbusdev.OutcomeOfRefusal(err))
	}
	reply, err := awaitReply(ctx, k, id)
	if err != nil {
		outcome := kbusdev.MayHaveRun
		if w, ok := k.(withdrawer); ok && w.Withdraw(id) {
			outcome = neverSent(err)
		}
		return nil, withOutcome(refused(err), outcome)
	}
	outcome, reason := kbusdev.OutcomeOf(reply)
	return &pb.CallResponse{
		Reply: toProto(reply), Elapsed: durationpb.New(time.Since(start)), Outcome: pb.Outcome(outcome), Reason: reason,
	}, nil
}

// wordTakes is how long before its deadline a call is given up, so that the caller still
// hears what became of the request: a tenth of the time left, at most 10 ms.
func wordTakes(left time.Duration) time.Duration { return min(left/10, 10*time.Millisecond) }

func awaitReply(ctx context.Context, k kbusdev.Ksock, id kbusdev.MsgID) (*kbusdev.Message, error) {
	for {
		reply, err := k.Recv(ctx)
		if err != nil || reply.InReplyTo == id {
			return reply, err
		}
	}
}
