// Package dropcheck holds, for tests, what is told of dropped messages against what is counted
// elsewhere.
package dropcheck

import (
	"fmt"
	"maps"

	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/drops"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// Links returns what is different between what a node's links have told of drops and what they
// have counted as lost.
func Links(n *limpet.Node) error {
	return compare(n, drops.Link, func() map[drops.Total]uint64 {
		counted := make(map[drops.Total]uint64)
		for _, t := range n.Telemetry() {
			for fromPeer, ended := range map[bool]map[string]uint64{false: t.Carried.FromBusEnded, true: t.Carried.FromPeerEnded} {
				for r := range translate.NumReasons {
					why := translate.Reason(r)
					if n := ended[why.String()]; why.Loss() && n > 0 {
						counted[drops.Total{Source: drops.Link, Name: t.Name, Why: drops.Why{FromPeer: fromPeer, Reason: why.String()}}] = n
					}
				}
			}
		}
		return counted
	})
}

// Bus is Links for what listeners on the embedded bus of a daemon have missed.
func Bus(n *limpet.Node) error {
	return compare(n, drops.Bus, func() map[drops.Total]uint64 {
		counted := make(map[drops.Total]uint64)
		if b, embedded := n.Bus().(*membus.Bus); embedded {
			for reason, n := range b.Totals().Missed {
				if n > 0 {
					counted[drops.Total{Source: drops.Bus, Why: drops.Why{Reason: reason}}] = n
				}
			}
		}
		return counted
	})
}

// compare compares what is told with what is counted, again while that changes.
func compare(n *limpet.Node, of drops.Source, count func() map[drops.Total]uint64) error {
	for before, tries := count(), 0; ; tries++ {
		told := n.Drops().Sums()
		maps.DeleteFunc(told, func(t drops.Total, _ uint64) bool { return t.Source != of })
		after := count()
		if maps.Equal(told, after) {
			return nil
		}
		if maps.Equal(before, after) || tries == 10 {
			return fmt.Errorf("network %d: of the %s these drops are told: %v; these are counted: %v", n.NetworkID(), of, told, after)
		}
		before = after
	}
}
