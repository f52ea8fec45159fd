package link

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Lane says how a message for the peer is queued. The table lanes says what that
// means.
type Lane uint8

// The lanes.
const (
	// Normal is for what was read from the bus. URGENT messages of this lane overtake
	// the others.
	Normal Lane = iota
	// Answers are to requests that the peer keeps open. They must not wait for the
	// window, or two full windows could block each other.
	Answers
	// Binds are replier bind events. They overtake everything, and are few at a time:
	// what is more waits with the caller, who coalesces it by name.
	Binds
	numLanes
)

// What the lanes mean. A lane that is not windowed has a bound of its own.
var lanes = [numLanes]struct {
	windowed    bool
	maxMessages int
}{
	Normal:  {windowed: true},
	Answers: {maxMessages: 32768}, // as many as a limpet keeps requests open
	Binds:   {maxMessages: 512},
}

// An Outgoing is a message for the peer.
type Outgoing struct {
	Msg kbusdev.Message
	// FromBus reports that the message was read from our bus, so that it is counted as
	// delivered when it is acknowledged.
	FromBus bool
}

type item struct {
	Outgoing
	lane Lane
	at   time.Time // when it was queued
}

// An outbox holds what goes to the peer until it is acknowledged. Numbers are given
// when a message is first taken for a stream; acked <= sent <= handed are cursors over
// them. After a rewind what has been handed, but not sent on this stream, is sent
// again under the same numbers.
type outbox struct {
	queues  [3]fifo // not handed yet, in the order in which they are served
	unacked fifo    // handed: acked+1 to handed
	handed  uint64
	sent    uint64
	acked   uint64

	windowMessages int
	windowBytes    int
	inLane         [numLanes]struct{ messages, bytes int } // queued or not acknowledged

	delivered uint64 // acknowledged messages that came from our bus
}

// The queues, in the order in which they are served.
const (
	bindQueue = iota
	urgentQueue
	orderedQueue
)

// room reports whether the lane takes one more message.
func (o *outbox) room(l Lane) bool {
	used := o.inLane[l]
	if lanes[l].windowed {
		return used.messages < o.windowMessages && used.bytes < o.windowBytes
	}
	return used.messages < lanes[l].maxMessages && used.bytes < o.windowBytes
}

func (o *outbox) add(it *item) {
	o.inLane[it.lane].messages++
	o.inLane[it.lane].bytes += it.Msg.Size()
	q := orderedQueue
	switch {
	case it.lane == Binds:
		q = bindQueue
	case it.Msg.Flags&kbusdev.Urgent != 0:
		q = urgentQueue
	}
	o.queues[q].push(it)
}

func (o *outbox) queued() (n int) {
	for i := range o.queues {
		n += o.queues[i].n
	}
	return n
}

// pending reports whether there is something to send on the stream.
func (o *outbox) pending() bool { return o.sent < o.handed || o.queued() > 0 }

// take returns the next batch, nil if there is nothing to send: what has to be sent
// again comes first.
func (o *outbox) take() *Batch {
	if o.sent < o.handed {
		from := int(o.sent - o.acked)
		b := o.batch(func(i int) *item {
			if from+i < o.unacked.n {
				return o.unacked.at(from + i)
			}
			return nil
		})
		o.sent += uint64(len(b.Messages))
		return b
	}
	if o.queued() == 0 {
		return nil
	}
	b := o.batch(o.peek)
	for range b.Messages {
		q := o.next()
		o.unacked.push(q.at(0))
		q.drop()
	}
	o.handed += uint64(len(b.Messages))
	o.sent = o.handed
	return b
}

// batch collects messages until there are enough.
func (o *outbox) batch(at func(int) *item) *Batch {
	n, size := 0, 0
	for n < MaxBatchMessages {
		it := at(n)
		if it == nil {
			break
		}
		if size += EncodedSize(&it.Msg); n > 0 && size > MaxBatchBytes {
			break
		}
		n++
	}
	b := &Batch{First: o.sent + 1, Messages: make([]kbusdev.Message, n)}
	for i := range n {
		b.Messages[i] = at(i).Msg
	}
	return b
}

// peek returns the i-th message that is not handed yet, in the order of serving.
func (o *outbox) peek(i int) *item {
	for q := range o.queues {
		if i < o.queues[q].n {
			return o.queues[q].at(i)
		}
		i -= o.queues[q].n
	}
	return nil
}

// next returns the queue that is served next; there is something in one of them.
func (o *outbox) next() *fifo {
	q := 0
	for o.queues[q].n == 0 {
		q++
	}
	return &o.queues[q]
}

// ack forgets what the peer has taken. It returns false if the peer cannot have taken
// so much.
func (o *outbox) ack(seq uint64) bool {
	if seq > o.sent {
		return false
	}
	for o.acked < seq {
		it := o.unacked.at(0)
		o.forget(it)
		if it.FromBus {
			o.delivered++
		}
		o.unacked.drop()
		o.acked++
	}
	return true
}

func (o *outbox) forget(it *item) {
	o.inLane[it.lane].messages--
	o.inLane[it.lane].bytes -= it.Msg.Size()
}

// rewind starts a new stream, on which the peer expects the number next. It returns
// false if that is a number that the peer cannot expect.
func (o *outbox) rewind(next uint64) bool {
	if next <= o.acked || next > o.handed+1 {
		return false
	}
	o.sent = next - 1
	return true
}

// withdraw takes out what was never handed and unwanted reports.
func (o *outbox) withdraw(unwanted func(*item) bool) {
	for q := range o.queues {
		o.queues[q].withdraw(func(it *item) bool {
			if !unwanted(it) {
				return false
			}
			o.forget(it)
			return true
		})
	}
}
