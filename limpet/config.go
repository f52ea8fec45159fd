package limpet

import (
	"errors"
	"fmt"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rename"
)

// ErrTerminated ends a daemon that has read its termination message.
var ErrTerminated = errors.New("the termination message was read from the bus")

// Config is how the limpets of a peering behave. The zero value is right for most.
type Config struct {
	// Pattern limits what is forwarded: a name, perhaps a wildcard; "" is "$.*". It is one of
	// our bus, as everything else here.
	Pattern string
	// Renames are how names differ at the peer; nil is not at all.
	Renames *rename.Map
	// Termination is the name of the message that stops the daemon; "" is none.
	Termination string
	// MaxMessages is what the queue of a limpet's Ksock is raised to, in messages; 0 is
	// 65 536.
	MaxMessages uint32
	// Grace is how long an epoch waits for the next stream after one has broken; 0 is
	// 30 s, less than 0 is not at all.
	Grace time.Duration
	// RequestHold is how long a request that was never given to a stream waits for one,
	// before it is answered RemoteError.NotDelivered; 0 is 5 s.
	RequestHold time.Duration
	// StallTimeout is how long a full window stops the reading of the bus while there is
	// a stream. After that requests are answered EBUSY and announcements dropped, so
	// that local binds and sends do not fail for the peer's sake. 0 is 5 s.
	StallTimeout time.Duration
	// WaitTimeout bounds how long a message with ALL_OR_WAIT from the peer waits for
	// room on our bus; 0 is 1 s.
	WaitTimeout time.Duration
	// DrainTimeout bounds how long a drain waits for open requests; 0 is 5 s.
	DrainTimeout time.Duration
	// Forget is how long a peering that the peer opened is kept after its last epoch;
	// 0 is 10 minutes.
	Forget time.Duration
	// WindowMessages and WindowBytes bound what is in flight on the link, each way; 0 is
	// 4 096 messages and 16 MiB: an URGENT message waits behind what is in flight.
	WindowMessages uint32
	WindowBytes    uint64
	// AllInterest sends the peer everything, as upstream's limpets do, whether or not
	// anybody there listens.
	AllInterest bool
	// MaxNames bounds the names that the peer may bind on our bus, and those that it may want
	// to hear; 0 is what Node.BoundNames says. Of the names that it says are bound there twice as many are
	// remembered. The lengths of each are bounded by 64 bytes a name. What it binds beyond
	// is not bound here; a peer that wants more gets everything.
	MaxNames int
	// Trace logs every message as it is processed, without its data.
	Trace bool
	// Origin is where the peering comes from, for whoever has configured it: see
	// Peering.Origin. It changes nothing.
	Origin string
}

// Validate returns an error that says what is wrong with the names in the
// configuration.
func (c *Config) Validate() error {
	if c.Pattern != "" {
		if err := kbusdev.CheckBindName(c.Pattern); err != nil {
			return fmt.Errorf("message name %q: %w; it is \"$\" and words of letters and digits joined by dots, the last of which may be * or %%", c.Pattern, err)
		}
	}
	if c.Termination != "" {
		if err := kbusdev.CheckName(c.Termination); err != nil {
			return fmt.Errorf("termination message %q: %w; it is \"$\" and words of letters and digits joined by dots", c.Termination, err)
		}
	}
	return nil
}

// withDefaults returns a copy with every zero replaced.
func (c Config) withDefaults() Config {
	if c.Pattern == "" {
		c.Pattern = "$.*"
	}
	setDefault(&c.MaxMessages, 65536)
	setDefault(&c.Grace, 30*time.Second)
	c.Grace = max(c.Grace, 0)
	setDefault(&c.RequestHold, 5*time.Second)
	setDefault(&c.StallTimeout, 5*time.Second)
	setDefault(&c.WaitTimeout, time.Second)
	setDefault(&c.DrainTimeout, 5*time.Second)
	setDefault(&c.Forget, 10*time.Minute)
	setDefault(&c.WindowMessages, 4096)
	setDefault(&c.WindowBytes, 16<<20)
	return c
}

func setDefault[T ~int | ~uint32 | ~uint64 | ~int64](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}
