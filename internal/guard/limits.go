// Package guard bounds what those who connect to a listener may take of the daemon before
// anybody has looked at what they say: connections, calls at a time, and calls that they
// give up. Each source has a share, so that one cannot take all: on TCP an address, on a
// Unix socket a process.
package guard

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Limits are the bounds of one listener, or of several that are one for those who connect.
// A bound of 0 is none, but for Streams, Untaken and UntakenInAll, which must be set.
type Limits struct {
	// Name is the listeners', for the log: "peers".
	Name string
	// Connections bounds those that are open at once, OfSource those of one source.
	Connections, OfSource int
	// Quiet is how long a connection may be open before its first call; then it is closed.
	Quiet time.Duration
	// Connecting bounds how fast one source may open connections.
	Connecting Rate
	// GivenUp bounds how fast one source may give calls up, or have them refused; then its
	// connection is closed.
	GivenUp Rate
	// Streams bounds the calls that go on at once on one connection, whatever they are. A
	// client knows it, and waits with the next one.
	Streams uint32
	// Untaken bounds the answers that wait for the callers of one connection to take them,
	// UntakenInAll those of all, in bytes. The connection that has most is closed then.
	Untaken, UntakenInAll int
	// Calls bound the calls, by method; each method is in one of them at most.
	Calls []Calls
}

// A Rate is so many a second, after so many at once.
type Rate struct{ PerSecond, AtOnce int }

// Calls are the bounds of some methods together. A call beyond them is refused with
// codes.ResourceExhausted.
type Calls struct {
	// Bound is what they are, in the plural, for the log and for the caller: "watches".
	Bound string
	// Methods are full names of gRPC's; none is every method that no other Calls has.
	Methods []string
	// InAll and OfConnection bound those that go on at once.
	InAll, OfConnection int
	// Opening bounds how fast one source may begin them.
	Opening Rate
	// Taken is how long the caller may leave the answer of a unary call untaken; then its
	// connection is closed.
	Taken time.Duration
	// OwnWindow says that what is sent to the caller is bounded by a window of its own, and
	// does not count as untaken.
	OwnWindow bool
}

// A Bucket has room for what a Rate allows. The zero value is full. It is not safe for
// concurrent use.
type Bucket struct {
	used float64
	at   time.Time
}

// Take takes one, and reports whether there was one. Of the zero Rate there always is.
func (b *Bucket) Take(r Rate, now time.Time) bool {
	if r == (Rate{}) {
		return true
	}
	b.used = max(0, b.used-now.Sub(b.at).Seconds()*float64(r.PerSecond))
	b.at = now
	if b.used+1 > float64(r.AtOnce) {
		return false
	}
	b.used++
	return true
}

// full reports whether nothing is missing, so that a fresh bucket is the same.
func (b *Bucket) full(r Rate, now time.Time) bool {
	return b.used <= now.Sub(b.at).Seconds()*float64(r.PerSecond)
}

// exhausted returns the error of a call that is refused before anybody has looked at it. If it
// was a request for the bus, its client may rely on that it has not run.
func exhausted(format string, args ...any) error {
	st := status.Newf(codes.ResourceExhausted, format, args...)
	detailed, err := st.WithDetails(&errdetails.ErrorInfo{
		Reason: "RESOURCE_EXHAUSTED", Domain: "kbus", Metadata: map[string]string{"outcome": kbusdev.NeverRan.String()},
	})
	if err != nil {
		return st.Err()
	}
	return detailed.Err()
}
