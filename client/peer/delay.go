package peer

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// How long to wait before dialling again: from firstDelay, growing to lastDelay, with
// jitter. While an epoch waits for its next stream it is at most detachedDelay. A
// refusal waits refusedDelay, for it takes a person to mend it.
const (
	firstDelay    = 200 * time.Millisecond
	detachedDelay = time.Second
	lastDelay     = 5 * time.Second
	refusedDelay  = 15 * time.Second
)

// A delay grows from one failure to the next.
type delay struct{ base time.Duration }

func newDelay() *delay { return &delay{base: firstDelay} }

func (d *delay) reset() { d.base = firstDelay }

// next returns the time to wait after err: half of it is chance. detached reports that
// an epoch waits for the next stream.
func (d *delay) next(err error, detached bool) time.Duration {
	wait := d.base
	d.base = min(d.base*2, lastDelay)
	if detached {
		wait = min(wait, detachedDelay)
	}
	if refusal(err) {
		wait = refusedDelay
	}
	return wait/2 + rand.N(wait/2+1)
}

// refusal reports whether one of the ends wants no link, which a person must mend.
func refusal(err error) bool {
	var verdict *link.Error
	var stranger *identity.RefusedError
	return errors.As(err, &verdict) && verdict.Refusal() || errors.As(err, &stranger)
}
