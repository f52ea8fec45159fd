package daemon

import (
	"context"
	"fmt"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// senderOf returns what a program may do that would send a message: the caller, or somebody
// whom a person has named.
func (d *Daemon) senderOf(ctx context.Context, identity string) (limpet.Sender, error) {
	id := d.cfg.IdentityOf(ctx)
	if identity != "" {
		var network uint32
		var err error
		if id, network, err = rules.ParseIdentity(identity); err != nil {
			return limpet.Sender{}, err
		}
		if network != 0 {
			return limpet.Sender{}, fmt.Errorf("identity %.100q: a program has no network; name the link by which a peer brings a message", identity)
		}
	}
	return limpet.Sender{Rules: d.rules.program(id)}, nil
}

// hears returns the rule that does not let a program of the API hear a message; nil if it may.
// Programs of an exposed device are judged by the bus.
func (d *Daemon) hears(k kbusdev.KsockID, m *kbusdev.Message) *explain.Judgement {
	policy := d.programs.RulesOf(k)
	if policy.Hears(m) {
		return nil
	}
	return limpet.JudgementOf(policy, rules.Listen, m.Name)
}
