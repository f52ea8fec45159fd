package link

import (
	"cmp"
	"errors"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/tape"
)

// TapeSession takes the state of a session, or sets that of a new one of the same
// configuration.
func TapeSession(t *tape.Tape, s *Session) {
	tapeOutbox(t, &s.out)
	tapeInbox(t, &s.in)
	t.Bool(&s.attached)
	tape.Pointer(t, &s.drain, func(d *Drain) { tapeDrain(t, d) })
	tape.Pointer(t, &s.final, func(e *Error) { tapeVerdict(t, e) })
	t.Bool(&s.ended)
	t.Time(&s.pingAt)
	t.Time(&s.ackAt)
	t.Uint64(&s.peerReceived)
	t.Time(&s.owedSince)
	t.Uint64(&s.unknown)
}

// tapeOutbox takes an outbox, but for the batch that is being sent: a stream has it.
func tapeOutbox(t *tape.Tape, o *outbox[kbusdev.Message]) {
	t.Uint64(&o.handed)
	t.Uint64(&o.sent)
	t.Uint64(&o.acked)
	t.Uint64(&o.delivered)
	for q := range o.queues {
		tapeItems(t, o, &o.queues[q])
	}
	tapeItems(t, o, &o.unacked)
	if !t.Reading() {
		return
	}
	if uint64(o.unacked.n) != o.handed-o.acked || o.sent < o.acked || o.sent > o.handed {
		t.Fail("%d messages are not acknowledged, of %d that were handed to a stream, %d sent on this one and %d acknowledged", o.unacked.n, o.handed, o.sent, o.acked)
	}
	for i := range o.unacked.n {
		o.unackedBytes += o.unacked.at(i).size()
	}
}

func tapeItems(t *tape.Tape, o *outbox[kbusdev.Message], f *fifo[item[kbusdev.Message]]) {
	n := f.n
	t.Count(&n)
	for i := range n {
		if t.Err() != nil {
			return
		}
		if t.Reading() {
			f.grow(&o.spare)
		}
		it := f.at(i)
		TapeOutgoing(t, &it.OutgoingOf)
		t.Time(&it.at)
		t.Uint8((*uint8)(&it.lane), uint8(numLanes-1))
		if t.Reading() {
			o.count(it)
		}
	}
}

func tapeInbox(t *tape.Tape, x *inbox[kbusdev.Message]) {
	n := x.batches.n
	t.Count(&n)
	for i := range n {
		if t.Err() != nil {
			return
		}
		if t.Reading() {
			x.batches.grow(&x.spare)
		}
		b := x.batches.at(i)
		if tape.Slice(t, b, t.Message); !t.Reading() {
			continue
		}
		if len(*b) == 0 {
			t.Fail("a batch without messages waits")
		}
		x.waiting += len(*b)
	}
	t.Uint64(&x.received)
	t.Uint64(&x.done)
	tape.Map(t, &x.early, cmp.Compare[uint64], func(seq *uint64, _ *struct{}) { t.Uint64(seq) })
	t.Count(&x.bytes)
	t.Uint64(&x.ackSent)
	t.Count(&x.freed)
}

// TapeOutgoing takes a message for the peer.
func TapeOutgoing(t *tape.Tape, out *Outgoing) {
	t.Message(&out.Msg)
	t.Bool(&out.FromBus)
	t.Bool(&out.Again)
}

// The kinds of frames on a tape.
const (
	noFrame uint8 = iota
	batchFrame
	ackFrame
	drainFrame
	pingFrame
	errorFrame
	interestFrame
	tableFrame
	unknownFrame
	topologyFrame
	questionFrame
	answerFrame
	numFrames
)

// TapeFrame takes a frame of a session; nil is none. Of a Topology it takes only that it
// is one, and of a Question or an Answer its number: what they say is not for the session.
func TapeFrame(t *tape.Tape, f *Frame) {
	var kind uint8
	if !t.Reading() {
		kind = kindOf(*f)
	}
	t.Uint8(&kind, numFrames-1)
	if t.Reading() {
		*f = [...]Frame{
			nil, new(Batch), new(Ack), new(Drain), new(Ping), new(Error), new(Interest), new(Table), new(Unknown), new(Topology), new(Question), new(Answer),
		}[kind]
	}
	switch f := (*f).(type) {
	case *Batch:
		t.Uint64(&f.First)
		t.Uint64(&f.Ack)
		tape.Slice(t, &f.Messages, t.Message)
	case *Ack:
		t.Uint64(&f.Sequence)
	case *Drain:
		tapeDrain(t, f)
	case *Ping:
		t.Uint64(&f.Received)
	case *Error:
		tapeVerdict(t, f)
	case *Interest:
		TapeInterest(t, f)
	case *Question:
		t.Uint64(&f.ID)
	case *Answer:
		t.Uint64(&f.ID)
	case *Table:
		t.Uint8((*uint8)(&f.Kind), 255)
		t.Uint64(&f.Names)
		t.Uint64(&f.Sum)
	}
}

func kindOf(f Frame) uint8 {
	switch f.(type) {
	case *Batch:
		return batchFrame
	case *Ack:
		return ackFrame
	case *Drain:
		return drainFrame
	case *Ping:
		return pingFrame
	case *Error:
		return errorFrame
	case *Interest:
		return interestFrame
	case *Table:
		return tableFrame
	case *Topology:
		return topologyFrame
	case *Question:
		return questionFrame
	case *Answer:
		return answerFrame
	case nil:
		return noFrame
	default:
		return unknownFrame
	}
}

// TapeInterest takes an Interest.
func TapeInterest(t *tape.Tape, f *Interest) {
	t.Bool(&f.Restart)
	tape.Slice(t, &f.Wanted, t.Name)
	tape.Slice(t, &f.Unwanted, t.Name)
	t.Bool(&f.Whole)
}

func tapeDrain(t *tape.Tape, d *Drain) {
	t.String(&d.Reason)
	t.Bool(&d.Done)
}

func tapeVerdict(t *tape.Tape, e *Error) {
	code := int64(e.Code)
	t.Int64(&code)
	e.Code = Code(code)
	t.String(&e.Message)
	t.Uint32(&e.NetworkID)
	t.Bool(&e.Remote)
}

// TapeError takes an error: an *Error as it is, of others what they say; nil is none.
func TapeError(t *tape.Tape, err *error) {
	verdict, ours := (*err).(*Error) //nolint:errorlint // an *Error that is wrapped is not one to the machines either
	tape.Pointer(t, &verdict, func(e *Error) { tapeVerdict(t, e) })
	set := *err != nil && !ours
	t.Bool(&set)
	var words string
	if set && !t.Reading() {
		words = (*err).Error()
	}
	if set {
		t.String(&words)
	}
	switch {
	case !t.Reading():
	case verdict != nil:
		*err = verdict
	case set:
		*err = errors.New(words)
	default:
		*err = nil
	}
}
