package daemon

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/kbusfs"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/drops"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// deniedReason is why a program's message is dropped that the rules do not allow.
const deniedReason = "denied"

// noteMisses adds to a node's drops what listeners on the embedded bus miss.
func noteMisses(n *limpet.Node) {
	b, embedded := n.Bus().(*membus.Bus)
	if !embedded { // of a device only its driver knows
		return
	}
	part := n.Drops().Part(drops.Bus, "")
	b.OnMiss(func(m *kbusdev.Message, by kbusdev.KsockID, reason string) {
		part.Add(&drops.Drop{At: time.Now(), Why: drops.Why{Reason: reason}, Message: *m, MissedBy: by})
	})
}

// noteDenied adds a program's message that the rules do not allow.
func noteDenied(n *limpet.Node, who rules.Identity, m *kbusdev.Message) {
	n.Drops().Part(drops.Rules, "").Add(&drops.Drop{At: time.Now(), Why: drops.Why{Reason: deniedReason}, Message: *m, Identity: who.String()})
}

func (d *Daemon) programDenied(who rules.Identity, m *kbusdev.Message) { noteDenied(d.node, who, m) }

func (d *Daemon) deviceDenied(p kbusfs.Program, m *kbusdev.Message) {
	process := rules.Process(p)
	noteDenied(d.node, rules.Identity{Process: &process}, m)
}

// deniedMessages returns how many messages of programs the rules have refused so far.
func (d *Daemon) deniedMessages() uint64 {
	n := d.programs.DeniedMessages()
	if d.devices != nil {
		n += d.devices.DeniedMessages()
	}
	return n
}
