package guard

import (
	"time"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// gRPC takes a whole answer at once, however long it is, and keeps it until the caller's
// window lets it out, long after the handler has returned. Only the memory of the encoded
// answer tells when that is: gRPC gives it back.

// An answer is a message for a caller, on the way to the codec.
type answer struct {
	message any
	conn    *conn
	within  time.Duration // it must be taken; 0 is however long
}

// A weighing codec counts the answers that are not taken.
type weighing struct{ encoding.CodecV2 }

// Marshal is encoding.CodecV2's.
func (c weighing) Marshal(v any) (mem.BufferSlice, error) {
	a, ok := v.(*answer)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	encoded, err := c.CodecV2.Marshal(a.message)
	if err != nil || encoded.Len() < smallAnswer {
		return encoded, err
	}
	b := encoded.Materialize() //nolint:misspell // gRPC's name
	encoded.Free()
	return mem.BufferSlice{mem.NewBuffer(&b, a.conn.hold(len(b), a.within))}, nil
}

// smallAnswer is what an answer must have to be counted, in bytes: less is bounded by the
// number of calls.
const smallAnswer = 2 << 10

// An untaken is an answer that gRPC holds. As the pool of its memory, which is no pool, it is
// told when that is over.
type untaken struct {
	conn *conn
	size int
	late *time.Timer // nil if it may take however long
}

// hold counts an answer. If there is too much, the connection that has most is closed.
func (c *conn) hold(size int, within time.Duration) *untaken {
	u := &untaken{conn: c, size: size}
	if within > 0 {
		u.late = time.AfterFunc(within, func() { c.cut(boundTaken) })
	}
	g := c.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.gone {
		return u
	}
	c.untaken += size
	g.untaken += size
	most := c
	switch {
	case c.untaken > g.limits.Untaken:
	case g.untaken > g.limits.UntakenInAll:
		for other := range g.conns {
			if other.untaken > most.untaken {
				most = other
			}
		}
	default:
		return u
	}
	go most.cut(boundTaken)
	return u
}

// Get is mem.BufferPool's, and not called.
func (*untaken) Get(n int) *[]byte {
	b := make([]byte, n)
	return &b
}

// Put is called when the answer has been taken, or the call is over.
func (u *untaken) Put(*[]byte) {
	if u.late != nil {
		u.late.Stop()
	}
	g := u.conn.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	if u.conn.gone { // Close has counted it
		return
	}
	u.conn.untaken -= u.size
	g.untaken -= u.size
}
