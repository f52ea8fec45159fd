package link

// An inbox holds what the peer has sent until its fate is decided. Fates may be
// decided out of order; what is acknowledged is cumulative.
type inbox[T any] struct {
	size           func(*T) int
	windowMessages int
	windowBytes    int

	batches  fifo[[]T] // received, and not fetched by the caller
	spare    spares[[]T]
	waiting  int    // how many messages that are
	received uint64 // the last sequence number
	done     uint64 // every message up to this one has its fate decided
	early    map[uint64]struct{}
	bytes    int // of what is not done
	ackSent  uint64
	freed    int // bytes that were decided since then
}

// add takes a batch in. The error is an *Error of code Protocol, and nothing has changed
// then.
func (x *inbox[T]) add(b *BatchOf[T]) error {
	n := len(b.Messages)
	if n == 0 || n > MaxBatchMessages {
		return Errorf(Protocol, "a batch of %d messages, 1 to %d are allowed", n, MaxBatchMessages)
	}
	if want := x.received + 1; b.First != want {
		return Errorf(Protocol, "a batch starts with sequence number %d, expected was %d", b.First, want)
	}
	size := 0
	for i := range b.Messages {
		size += x.size(&b.Messages[i])
	}
	mostMessages, mostBytes := mostInFlight(x.windowMessages, x.windowBytes)
	inFlight := x.received - x.done + uint64(n)
	if inFlight > mostMessages || uint64(x.bytes+size) > mostBytes {
		return Errorf(Protocol, "%d messages and %d bytes in flight, the window has room for %d and %d", inFlight, x.bytes+size, x.windowMessages, x.windowBytes)
	}
	x.received += uint64(n)
	x.bytes += size
	x.waiting += n
	*x.batches.grow(&x.spare) = b.Messages
	return nil
}

// full reports whether a peer that keeps no window must be held up.
func (x *inbox[T]) full() bool {
	return x.received-x.done >= uint64(x.windowMessages) || x.bytes >= x.windowBytes
}

// take returns messages that wait, at most so many and all of one batch, and the number
// of the first.
func (x *inbox[T]) take(most int) (first uint64, msgs []T) {
	first = x.received - uint64(x.waiting) + 1
	if x.waiting == 0 || most <= 0 {
		return first, nil
	}
	batch := x.batches.at(0)
	n := min(most, len(*batch))
	msgs, *batch = (*batch)[:n:n], (*batch)[n:]
	if len(*batch) == 0 {
		x.batches.drop(&x.spare)
	}
	x.waiting -= n
	return first, msgs
}

// decided notes that the fate of message seq, of size bytes, is decided.
func (x *inbox[T]) decided(seq uint64, size int) {
	x.bytes -= size
	x.freed += size
	if seq != x.done+1 {
		if x.early == nil {
			x.early = make(map[uint64]struct{})
		}
		x.early[seq] = struct{}{}
		return
	}
	x.done++
	for len(x.early) > 0 {
		if _, ok := x.early[x.done+1]; !ok {
			return
		}
		x.done++
		delete(x.early, x.done)
	}
	x.early = nil // a map gives no memory back
}
