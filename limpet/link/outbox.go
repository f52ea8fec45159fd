package link

import (
	"github.com/kbus-limpet/limpet/kbusdev"
)

// An Outgoing is a message for the peer.
type Outgoing struct {
	Msg kbusdev.Message
	// FromBus: it was read from our bus, and is counted as delivered when acked.
	FromBus bool
}

// An outbox holds what goes to the peer until it is acked. What waits or is
// unacked counts against the window; answers that cannot wait do not, because each
// is for a request that the peer keeps open, and their number is bounded by that.
type outbox struct {
	urgent, waiting fifo
	unacked         fifo
	sent            uint64 // the last sequence number given out
	acked           uint64
	delivered       uint64 // acked messages from our bus

	windowMessages int
	windowBytes    int
	bytes          int // of all that counts
	messages       int // that count
	answers        int // that do not
	answerBytes    int
}

type item struct {
	Outgoing
	answer bool
}

// full: the window has no room for another message from the bus.
func (o *outbox) full() bool {
	return o.messages >= o.windowMessages || o.bytes >= o.windowBytes
}

func (o *outbox) add(it item) {
	if it.answer {
		o.answers++
		o.answerBytes += weight(&it.Msg)
	} else {
		o.messages++
		o.bytes += weight(&it.Msg)
	}
	if it.Msg.Flags&kbusdev.Urgent != 0 {
		o.urgent.push(it)
	} else {
		o.waiting.push(it)
	}
}

func (o *outbox) queued() int { return o.urgent.n + o.waiting.n }

// take moves the next batch to the unacked and fills a frame with it: at most
// maxMessages, and maxBytes unless a single message is larger.
func (o *outbox) take(maxMessages, maxBytes int) *slab {
	n, size := 0, 0
	for n < maxMessages && n < o.queued() {
		w := weight(&o.peek(n).Msg)
		if n > 0 && size+w > maxBytes {
			break
		}
		size += w
		n++
	}
	s := newSlab(n)
	s.batch.FirstSequence = o.sent + 1
	for i := range n {
		from := &o.waiting
		if o.urgent.n > 0 {
			from = &o.urgent
		}
		it := from.pop()
		ToProto(&s.messages[i], &it.Msg)
		o.unacked.push(it)
	}
	o.sent += uint64(n)
	return s
}

func (o *outbox) peek(i int) *item {
	if i < o.urgent.n {
		return o.urgent.at(i)
	}
	return o.waiting.at(i - o.urgent.n)
}

// ack forgets what the peer has taken; false if it cannot have.
func (o *outbox) ack(seq uint64) bool {
	if seq > o.sent {
		return false
	}
	for o.acked < seq {
		o.acked++
		it := o.unacked.pop()
		if it.answer {
			o.answers--
			o.answerBytes -= weight(&it.Msg)
		} else {
			o.messages--
			o.bytes -= weight(&it.Msg)
		}
		if it.FromBus {
			o.delivered++
		}
	}
	return true
}

// A fifo is a ring of items that grows, and shrinks when a burst is over.
type fifo struct {
	ring  []item // its length is a power of two
	first int
	n     int
}

func (f *fifo) at(i int) *item { return &f.ring[(f.first+i)&(len(f.ring)-1)] }

func (f *fifo) push(it item) {
	if f.n == len(f.ring) {
		bigger := make([]item, max(16, 2*len(f.ring)))
		for i := range f.n {
			bigger[i] = *f.at(i)
		}
		f.ring, f.first = bigger, 0
	}
	f.n++
	*f.at(f.n - 1) = it
}

func (f *fifo) pop() item {
	it := *f.at(0)
	*f.at(0) = item{}
	f.first = (f.first + 1) & (len(f.ring) - 1)
	f.n--
	if f.n == 0 && len(f.ring) > 4096 {
		*f = fifo{}
	}
	return it
}
