package link

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// An OutgoingOf is a message for the peer.
type OutgoingOf[T any] struct {
	Msg T
	// FromBus reports that the message was read from our bus, so that it is counted as
	// delivered when it is acknowledged.
	FromBus bool
	// Again reports that an earlier session has handed the message to a stream, so that the
	// peer may have it.
	Again bool
}

// An Outgoing is a message of a link.
type Outgoing = OutgoingOf[kbusdev.Message]

// A Measure is what a session must know of a message that it is to send.
type Measure struct {
	// Size is what the message counts for in the window, in bytes.
	Size int
	// Overhead is the most that it takes in a batch beyond Size, in bytes.
	Overhead uint16
	// Urgent messages overtake those of their lane that were never handed to a stream.
	Urgent bool
}

func measureMessage(m *kbusdev.Message) Measure {
	return Measure{Size: m.Size(), Overhead: messageOverhead + TraceOverhead(m), Urgent: m.Flags&kbusdev.Urgent != 0}
}

type item[T any] struct {
	OutgoingOf[T]
	at       time.Time // when it was queued
	lane     Lane
	overhead uint16 // these two are measured
	bytes    uint32
}

func (it *item[T]) size() int    { return int(it.bytes) }
func (it *item[T]) encoded() int { return int(it.bytes) + int(it.overhead) }

// An outbox holds what goes to the peer until it is acknowledged. A message gets its
// number when it is first handed to a stream; acked <= sent <= handed are cursors over
// the numbers. After a rewind what has been handed, but not sent on this stream, is sent
// again under the same numbers.
type outbox[T any] struct {
	measure func(*T) Measure
	spare   spares[item[T]]
	queues  [3]fifo[item[T]] // not handed yet, in the order in which they are served
	unacked fifo[item[T]]    // handed: acked+1 to handed
	handed  uint64
	sent    uint64
	acked   uint64

	windowMessages int
	windowBytes    int
	inLane         [numLanes]struct{ messages, bytes int } // queued or not acknowledged
	unackedBytes   int

	delivered uint64 // acknowledged messages that came from our bus

	batch BatchOf[T] // the one that is being sent
}

// The queues, in the order in which they are served.
const (
	bindQueue = iota
	urgentQueue
	orderedQueue
)

// room reports whether the lane takes one more message.
func (o *outbox[T]) room(l Lane) bool {
	used := o.inLane[l]
	if lanes[l].windowed {
		return used.messages < o.windowMessages && used.bytes < o.windowBytes
	}
	return used.messages < lanes[l].maxMessages && used.bytes < o.windowBytes
}

// add queues a copy of out, which is to go in a lane and came at a time.
func (o *outbox[T]) add(out *OutgoingOf[T], l Lane, at time.Time) {
	q := orderedQueue
	if l == Binds {
		q = bindQueue
	}
	it := o.queues[q].grow(&o.spare)
	it.OutgoingOf, it.lane, it.at = *out, l, at
	if urgent := o.count(it); urgent && q == orderedQueue {
		*o.queues[urgentQueue].grow(&o.spare) = *it
		o.queues[q].dropLast(&o.spare)
	}
}

// count measures an item, and counts it in its lane.
func (o *outbox[T]) count(it *item[T]) (urgent bool) {
	m := o.measure(&it.Msg)
	it.bytes, it.overhead = uint32(m.Size), m.Overhead
	o.inLane[it.lane].messages++
	o.inLane[it.lane].bytes += m.Size
	return m.Urgent
}

func (o *outbox[T]) queued() (n int) {
	for i := range o.queues {
		n += o.queues[i].n
	}
	return n
}

// oldest returns when the message was added that has waited longest, zero if there is none:
// the first of a queue is its oldest, but for what urgent ones have overtaken while it was
// handed.
func (o *outbox[T]) oldest() (at time.Time) {
	for _, q := range []*fifo[item[T]]{&o.unacked, &o.queues[bindQueue], &o.queues[urgentQueue], &o.queues[orderedQueue]} {
		if q.n > 0 && (at.IsZero() || q.at(0).at.Before(at)) {
			at = q.at(0).at
		}
	}
	return at
}

// unsent reports whether anything has not been sent on this stream.
func (o *outbox[T]) unsent() bool { return o.sent < o.handed || o.queued() > 0 }

// take returns the next batch for the stream: first what has to be sent again. It
// returns nil if there is nothing to send, or the peer takes no more before it has
// acknowledged something. The batch is valid until the next take, or flushed.
func (o *outbox[T]) take() *BatchOf[T] {
	n := o.nextBatch()
	if n == 0 {
		return nil
	}
	b := &o.batch
	b.First, b.Messages = o.sent+1, b.Messages[:0]
	for i := range n {
		b.Messages = append(b.Messages, o.toSend(i).Msg)
	}
	o.sent += uint64(n)
	for o.handed < o.sent {
		o.hand()
	}
	return b
}

// nextBatch returns how many messages the next batch has.
func (o *outbox[T]) nextBatch() (n int) {
	// This bound is met only when messages were put into a lane without room, as those
	// of a past epoch with a larger window are.
	mostMessages, mostBytes := mostInFlight(o.windowMessages, o.windowBytes)
	handed, bytes, size := o.unacked.n, o.unackedBytes, 0
	for again := int(o.handed - o.sent); n < MaxBatchMessages; n++ {
		it := o.toSend(n)
		if it == nil {
			return n
		}
		if size += it.encoded(); n > 0 && size > MaxBatchBytes {
			return n
		}
		if n < again {
			continue
		}
		handed, bytes = handed+1, bytes+it.size()
		if handed > 1 && (uint64(handed) > mostMessages || uint64(bytes) > mostBytes) {
			return n
		}
	}
	return n
}

// toSend returns the i-th message that is to be sent on this stream, nil if there are
// fewer.
func (o *outbox[T]) toSend(i int) *item[T] {
	if i += int(o.sent - o.acked); i < o.unacked.n {
		return o.unacked.at(i)
	}
	return o.waiting(i - o.unacked.n)
}

// waiting returns the i-th message that was never handed, nil if there are fewer.
func (o *outbox[T]) waiting(i int) *item[T] {
	for q := range o.queues {
		if i < o.queues[q].n {
			return o.queues[q].at(i)
		}
		i -= o.queues[q].n
	}
	return nil
}

// flushed forgets the last batch, which has been sent.
func (o *outbox[T]) flushed() { clear(o.batch.Messages) }

// rest gives back the memory of what was sent if nothing is queued or unacknowledged.
func (o *outbox[T]) rest() {
	if o.unacked.n+o.queued() == 0 {
		o.spare, o.batch.Messages = nil, nil
		o.unacked = fifo[item[T]]{}
		clear(o.queues[:])
	}
}

// hand gives the first message that was never handed its number.
func (o *outbox[T]) hand() {
	q := 0
	for o.queues[q].n == 0 {
		q++
	}
	it := o.queues[q].at(0)
	o.unackedBytes += it.size()
	*o.unacked.grow(&o.spare) = *it
	o.queues[q].drop(&o.spare)
	o.handed++
}

// ack forgets the messages up to seq, which the peer has acknowledged. It returns false,
// and changes nothing, if they were not all sent.
func (o *outbox[T]) ack(seq uint64) bool {
	if seq > o.sent {
		return false
	}
	for o.acked < seq {
		it := o.unacked.at(0)
		o.forget(it)
		o.unackedBytes -= it.size()
		if it.FromBus {
			o.delivered++
		}
		o.unacked.drop(&o.spare)
		o.acked++
	}
	return true
}

func (o *outbox[T]) forget(it *item[T]) {
	o.inLane[it.lane].messages--
	o.inLane[it.lane].bytes -= it.size()
}

// rewind starts a new stream, on which the peer expects the number next. It returns
// false, and changes nothing, if the peer cannot expect that number: it has acknowledged
// it, or none before it was handed.
func (o *outbox[T]) rewind(next uint64) bool {
	if next <= o.acked || next > o.handed+1 {
		return false
	}
	o.sent = next - 1
	return true
}

// withdraw removes the messages that were never handed and that unwanted reports.
func (o *outbox[T]) withdraw(unwanted func(*item[T]) bool) {
	for q := range o.queues {
		o.queues[q].withdraw(&o.spare, func(it *item[T]) bool {
			if !unwanted(it) {
				return false
			}
			o.forget(it)
			return true
		})
	}
}
