package sim

import (
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// What would become of a message, as a daemon finds it out.

// A site is a node's limpet.Site.
type site struct{ n *node }

// NetworkID is limpet.Site's, like the methods below.
func (s site) NetworkID() uint32 { return s.n.network }

func (s site) Route(from kbusdev.KsockID, m *kbusdev.Message) (kbusdev.Route, error) {
	return s.n.bus.Route(from, m)
}

func (s site) Hears(kbusdev.KsockID, *kbusdev.Message) *explain.Judgement { return nil }

func (s site) Limpet(k kbusdev.KsockID, f func(limpet.Limpet)) bool {
	for _, p := range s.n.peerings {
		if p.current != nil && p.current.ksock.ID() == k {
			f(p.limpet())
			return true
		}
	}
	return false
}

func (s site) Limpets(f func(limpet.Limpet)) {
	for _, p := range s.n.peerings {
		f(p.limpet())
	}
}

func (p *peering) limpet() limpet.Limpet {
	l := limpet.Limpet{Name: p.String(), Key: explain.Link(p.key()), Peer: p.other().n.network, Asks: true}
	if p.current != nil {
		l.Ksock, l.Epoch = p.current.ksock.ID(), p.current.Epoch
	}
	return l
}

// takeExplain takes a question or an answer, and reports whether a frame is one.
func (p *peering) takeExplain(f link.Frame) bool {
	n, now := p.n, p.n.w.now
	switch f := f.(type) {
	case *link.Question:
		if !n.desk.Admit(now, explain.Link(p.key())) {
			p.say(&link.Answer{ID: f.ID})
			return true
		}
		root, asks := limpet.ForetellBrought(site{n}, p.current.ksock.ID(), f.Message, f.Hops, f.Bytes)
		n.carry(n.desk.Open(nil, now, explain.Link(p.key()), &f.Question, root, asks))
	case *link.Answer:
		n.carry(n.desk.Take(nil, now, explain.Link(p.key()), f.ID, f.Hop))
	default:
		return false
	}
	return true
}

func (p *peering) say(f link.Frame) {
	if p.current != nil {
		p.current.Say(f)
		p.current.touch()
	}
}

// carry carries out what the desk wants.
func (n *node) carry(out []explain.Out) {
	for _, o := range out {
		if o.Link == 0 {
			n.foretold(o.Answer)
			continue
		}
		for _, p := range n.peerings {
			switch {
			case explain.Link(p.key()) != o.Link:
			case o.Question != nil:
				p.say(&link.Question{Question: *o.Question})
			case o.Answer == nil:
				p.say(&link.Answer{ID: o.ID})
			case p.policy().Admin().Allow:
				p.say(&link.Answer{ID: o.ID, Hop: o.Answer})
			default:
				p.say(&link.Answer{ID: o.ID, Hop: limpet.ForStranger(o.Answer, n.interest.names.Wants(p.wire.source, o.Answer.Message.Name))})
			}
		}
	}
	if next := n.desk.Next(); !next.IsZero() {
		n.w.at(next, func() {
			if out := n.desk.Tick(nil, n.w.now); len(out) > 0 {
				n.carry(out)
			}
		})
	}
}
