package admin

import (
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// Lost returns how many messages a link has lost so far, in either direction, by
// reason: those that somebody may miss.
func Lost(c *limpet.Counts) map[string]uint64 {
	lost := make(map[string]uint64)
	for r := range translate.NumReasons {
		why := translate.Reason(r)
		if n := c.FromBusEnded[why.String()] + c.FromPeerEnded[why.String()]; why.Loss() && n > 0 {
			lost[why.String()] = n
		}
	}
	return lost
}
