package bus

import (
	"math"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// operate does an operation that never waits.
func (a *attached) operate(op *program.Operation) *program.Result {
	k := a.ksock
	var r program.Result
	var err error
	switch op.Action {
	case program.Flush: // it has had its turn
	case program.Bind:
		err = a.bind(op.Msg.Name, op.Role)
	case program.Unbind:
		err = a.unbind(op.Msg.Name, op.Role)
	case program.FindReplier:
		var id kbusdev.KsockID
		id, r.Found, err = k.Replier(op.Msg.Name)
		r.Value = uint64(id)
	case program.MaxMessages:
		r.Value, err = number(k.MaxMessages(small(op)))
	case program.MaxMessageSize:
		r.Value, err = number(k.MaxMessageSize(small(op)))
	case program.OnlyOnce:
		r.Value, err = number(k.OnlyOnce(kbusdev.Switch(small(op))))
	case program.Verbose:
		r.Value, err = number(k.Verbose(kbusdev.Switch(small(op))))
	case program.ReportReplierBinds:
		r.Value, err = number(k.ReportReplierBinds(kbusdev.Switch(small(op))))
	case program.LastSent:
		r.ID, err = k.LastSent()
	case program.NumMessages:
		r.Value, err = number(k.NumMessages())
	case program.Unreplied:
		r.Value, err = number(k.Unreplied())
	case program.Withdraw:
		if w, ok := k.(withdrawer); ok {
			r.Found = w.Withdraw(kbusdev.MsgID{Network: uint32(op.Value >> 32), Serial: uint32(op.Value)})
		}
	case program.NewDevice:
		r.Value, err = number(k.NewDevice())
	case program.Write:
		r.Value, err = number(k.Write(op.Msg.Data))
	case program.Commit:
		r.ID, err = k.Commit()
	case program.Discard:
		err = k.Discard()
	case program.Next:
		r.Value, err = number(k.Next())
	case program.Read:
		r.Data, err = a.read(op.Value)
	case program.LenLeft:
		r.Value, err = number(k.LenLeft())
	case program.Poll:
		var ready kbusdev.Readiness
		ready, err = k.Poll()
		if ready.In {
			r.Value |= 1
		}
		if ready.Out {
			r.Value |= 2
		}
	default:
		err = syscall.ENOTTY
	}
	done := program.Done(op, err)
	done.ID, done.Value, done.Found, done.Data = r.ID, r.Value, r.Found, r.Data
	return done
}

// read returns up to most bytes of the message that Next took, in memory of that size: what
// a program does not take must be no more than it counts for.
func (a *attached) read(most uint64) ([]byte, error) {
	left, err := a.ksock.LenLeft()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(most, maxRead, uint64(left)))
	n, err := a.ksock.Read(b)
	return b[:n], err
}

func number[N ~int | ~uint32](n N, err error) (uint64, error) { return uint64(n), err }

// small returns an operation's number in 32 bits, the largest for one that has more.
func small(op *program.Operation) uint32 { return uint32(min(op.Value, math.MaxUint32)) }
