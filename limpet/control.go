package limpet

import (
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
)

// Frames that are no messages cost the peer little, and some cost us more: to be told the
// end of a table is to look through it. So they are counted by what they cost, in units of a
// small frame: so many a second, after so many at once. A peer that keeps to the protocol
// sends a few a minute, and some hundreds when many others join.
const (
	controlPerSecond = 50
	controlAtOnce    = 1000
	namesPerUnit     = 500 // of a table, for those frames that have us look through it
)

// controls counts the frames of a peer that are no messages.
type controls struct {
	used float64
	at   time.Time
}

// take counts a frame of this cost. The error is for the peer.
func (c *controls) take(now time.Time, cost int) error {
	c.used = max(0, c.used-float64(now.Sub(c.at).Seconds()*controlPerSecond)) // rounded, so that all processors come to the same
	c.at = now
	if c.used += float64(cost); c.used > controlAtOnce {
		return link.Errorf(link.Protocol, "the peer sends too many frames that are no messages: more than %d a second", controlPerSecond)
	}
	return nil
}

// control counts a frame if it is no message, nor bounded otherwise.
func (e *Epoch) control(now time.Time, f link.Frame) error {
	cost := 1
	switch f := f.(type) {
	case *link.Batch, *link.Ack, *link.Interest, *link.Error:
		return nil
	case *link.Table:
		switch f.Kind {
		case link.TableResync: // we tell all
			cost += e.rules.ToldNames() / namesPerUnit
		case link.TableBegin, link.TableEnd:
			cost += e.rules.Heard() / namesPerUnit
		case link.TableDigest:
		}
	}
	return e.controls.take(now, cost)
}

// Control counts a frame of the peer's that TakeFrame does not take. The error, an
// *link.Error, ends the epoch.
func (e *Epoch) Control(now time.Time, f link.Frame) error {
	if r := e.rec; r != nil {
		return r.control(e, now, f)
	}
	if e.why != nil {
		return nil //nolint:nilerr // only the end of the stream is of interest now
	}
	return e.endOn(now, e.control(now, f))
}
