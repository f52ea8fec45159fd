package limpet

import (
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// What would become of a message can be asked of an epoch, which does not change: the rules,
// renames and interest that judge it are those that judge a real one.

// A Foretold is what would become of a message on its way through a limpet.
type Foretold struct {
	// Message is the message as it would go on, if Stop is nil.
	Message kbusdev.Message
	// Rule is what the rules say; nil without rules, or if they are not asked.
	Rule *explain.Judgement
	// Stop is why it does not go on; nil if it does.
	Stop *explain.Stop

	effect translate.Effect
}

// ForetellFromBus returns what would become of an announcement, or a request, that was read
// from our bus.
func (e *Epoch) ForetellFromBus(m *kbusdev.Message) Foretold {
	fx := e.rules.ForetellFromBus(m)
	f := Foretold{Message: fx.Msg, Stop: stopOf(&fx), effect: fx}
	if !m.WantsUsToReply() {
		f.Rule = JudgementOf(e.cfg.Rules, rules.Listen, m.Name)
	}
	if f.Stop != nil {
		return f
	}
	name, errno := e.cfg.Renames.There(f.Message.Name)
	switch {
	case e.unwanted(&f.Message):
		f.Stop = &explain.Stop{Reason: translate.Unwanted.String()}
	case errno != 0:
		f.Stop = &explain.Stop{Reason: translate.NotRenamed.String()}
		if m.WantsUsToReply() {
			f.Stop.Answer = kbusdev.NameRemoteErrorPrefix + kbusdev.ErrnoName(errno)
		}
	case e.why != nil:
		f.Stop = &explain.Stop{Reason: translate.LinkLost.String()}
		if m.WantsUsToReply() {
			f.Stop.Answer = kbusdev.NameNotDelivered
		}
	case !e.room() && e.givesUp():
		answer, why := e.givenUp()
		f.Stop = &explain.Stop{Reason: why.String()}
		if m.WantsUsToReply() {
			f.Stop.Answer = answer
		}
	}
	f.Message.Name = name
	return f
}

// ForetellFromPeer returns what would become of an announcement, or a request, that the peer
// brought, on the way to our bus. It has a name of our bus then, if there is one.
func (e *Epoch) ForetellFromPeer(m *kbusdev.Message) Foretold {
	named, origin := *m, e.origin
	facts := e.facts(&named)
	e.origin = origin // which remembers real messages
	fx := e.rules.ForetellFromPeer(&named, facts)
	f := Foretold{Message: fx.Msg, Stop: stopOf(&fx), effect: fx}
	if f.Stop != nil {
		f.Message = named
	}
	if facts.Nameless == 0 && !facts.Foreign {
		action := rules.Announce
		if m.IsRequest() && m.WantsUsToReply() {
			action = rules.Request
		}
		f.Rule = JudgementOf(e.cfg.Rules, action, named.Name)
	}
	return f
}

// ForetellRefusal returns why what ForetellFromPeer lets pass ends here when our bus refuses
// it.
func (e *Epoch) ForetellRefusal(f *Foretold, errno syscall.Errno) *explain.Stop {
	fx := e.rules.ForetellRefusal(&f.effect, errno)
	stop := stopOf(&fx)
	stop.Errno = kbusdev.ErrnoName(errno)
	return stop
}

// unheard returns why our Ksock does not listen to messages of a name.
func (e *Epoch) unheard(name string) translate.Reason {
	if !kbusdev.Matches(e.cfg.Pattern, name) {
		return translate.OutsidePattern
	}
	return translate.Unwanted
}

// Unbound returns what the peer says is bound there, would match a name, and is not bound
// here; false if there is nothing.
func (e *Epoch) Unbound(name string) (translate.Claim, bool) { return e.rules.Unbound(name) }

// stopOf returns why a message ends with an effect; nil if it goes on.
func stopOf(fx *translate.Effect) *explain.Stop {
	switch {
	case fx.Kind == translate.Forward, fx.Kind == translate.Send && !fx.Own:
		return nil
	default:
		return &explain.Stop{Reason: fx.Reason.String(), Answer: fx.Msg.Name} // an effect that answers nothing has no message
	}
}

// JudgementOf returns what rules say of an action with messages of a name; nil without rules.
func JudgementOf(p *rules.Policy, a rules.Action, name string) *explain.Judgement {
	if p == nil {
		return nil
	}
	v := p.Judge(a, name)
	return &explain.Judgement{Action: a.String(), Allowed: v.Allow, Rule: uint32(v.Rule), OfLink: v.OfLink, Text: explain.Clip(p.Why(v))}
}
