package sim

import (
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// digest tells a peer the digest of a table that is not ours, as if it had missed
// something: it asks for the whole table.
func (p *peering) digest() {
	w := p.n.w
	if p.stream == nil {
		return
	}
	w.tracef("FAULT: %v tells a wrong digest", p)
	w.spoiled++
	p.stream.send(&link.Table{Kind: link.TableDigest, Names: w.rng.Uint64(), Sum: w.rng.Uint64()})
}

// spoil makes the next bind event that is sent to the peer say something else, so that
// its table is wrong until a digest tells.
func (p *peering) spoil() {
	p.n.w.tracef("FAULT: the next bind event of %v is spoiled", p)
	p.spoils++
}

// spoilt returns a frame as it is sent, with a bind event in it spoiled if that is due.
func (p *peering) spoilt(f link.Frame) link.Frame {
	b, ok := f.(*link.Batch)
	if !ok || p.spoils == 0 {
		return f
	}
	i := slices.IndexFunc(b.Messages, func(m kbusdev.Message) bool { return m.Event != nil })
	if i < 0 {
		return f
	}
	p.spoils--
	w := p.n.w
	w.spoiled++
	was := b.Messages[i].Event
	other := *b
	other.Messages = slices.Clone(b.Messages)
	other.Messages[i].Event = &kbusdev.BindEvent{Bound: was.Bound, Binder: was.Binder, Name: sprintf("$.Spoiled.n%d", w.spoiled)}
	w.tracef("%v says %v instead of %v", p, *other.Messages[i].Event, *was)
	return &other
}

// judgeTables looks whether tables were told again, and whether without a reason.
func (w *World) judgeTables() {
	for _, n := range w.nodes {
		for _, p := range n.peerings {
			if again := p.counts().Resyncs; again > 0 && w.spoiled == 0 {
				w.wrong("%v: the peer's table was wrong %d times, and nobody has spoiled it", p, again)
			}
		}
	}
}
