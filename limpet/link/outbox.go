package link

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

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

// An outbox holds what goes to the peer until it is acknowledged. A message gets its
// number when it is first handed to a stream; acked <= sent <= handed are cursors over
// the numbers. After a rewind what has been handed, but not sent on this stream, is sent
// again under the same numbers.
type outbox struct {
	queues  [3]fifo[item] // not handed yet, in the order in which they are served
	unacked fifo[item]    // handed: acked+1 to handed
	handed  uint64
	sent    uint64
	acked   uint64

	windowMessages int
	windowBytes    int
	inLane         [numLanes]struct{ messages, bytes int } // queued or not acknowledged
	unackedBytes   int

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

// take returns the next batch for the stream: first what has to be sent again. It
// returns nil if there is nothing to send, or the peer takes no more before it has
// acknowledged something.
func (o *outbox) take() *Batch {
	n := o.nextBatch()
	if n == 0 {
		return nil
	}
	b := &Batch{First: o.sent + 1, Messages: make([]kbusdev.Message, n)}
	for i := range n {
		b.Messages[i] = o.toSend(i).Msg
	}
	o.sent += uint64(n)
	for o.handed < o.sent {
		o.hand()
	}
	return b
}

// nextBatch returns how many messages the next batch has.
func (o *outbox) nextBatch() (n int) {
	// This bound is met only when messages were put into a lane without room, as those
	// of a past epoch with a larger window are.
	mostMessages, mostBytes := mostInFlight(o.windowMessages, o.windowBytes)
	handed, bytes, size := o.unacked.n, o.unackedBytes, 0
	for again := int(o.handed - o.sent); n < MaxBatchMessages; n++ {
		it := o.toSend(n)
		if it == nil {
			return n
		}
		if size += EncodedSize(&it.Msg); n > 0 && size > MaxBatchBytes {
			return n
		}
		if n < again {
			continue
		}
		handed, bytes = handed+1, bytes+it.Msg.Size()
		if handed > 1 && (uint64(handed) > mostMessages || uint64(bytes) > mostBytes) {
			return n
		}
	}
	return n
}

// toSend returns the i-th message that is to be sent on this stream, nil if there are
// fewer.
func (o *outbox) toSend(i int) *item {
	if i += int(o.sent - o.acked); i < o.unacked.n {
		return o.unacked.at(i)
	}
	return o.waiting(i - o.unacked.n)
}

// waiting returns the i-th message that was never handed, nil if there are fewer.
func (o *outbox) waiting(i int) *item {
	for q := range o.queues {
		if i < o.queues[q].n {
			return o.queues[q].at(i)
		}
		i -= o.queues[q].n
	}
	return nil
}

// hand gives the first message that was never handed its number.
func (o *outbox) hand() {
	q := 0
	for o.queues[q].n == 0 {
		q++
	}
	it := o.queues[q].at(0)
	o.unackedBytes += it.Msg.Size()
	o.unacked.push(it)
	o.queues[q].drop()
	o.handed++
}

// ack forgets the messages up to seq, which the peer has acknowledged. It returns false,
// and changes nothing, if they were not all sent.
func (o *outbox) ack(seq uint64) bool {
	if seq > o.sent {
		return false
	}
	for o.acked < seq {
		it := o.unacked.at(0)
		o.forget(it)
		o.unackedBytes -= it.Msg.Size()
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
// false, and changes nothing, if the peer cannot expect that number: it has acknowledged
// it, or none before it was handed.
func (o *outbox) rewind(next uint64) bool {
	if next <= o.acked || next > o.handed+1 {
		return false
	}
	o.sent = next - 1
	return true
}

// withdraw removes the messages that were never handed and that unwanted reports.
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
