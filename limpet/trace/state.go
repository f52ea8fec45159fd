package trace

import (
	"cmp"

	"github.com/kbus-limpet/limpet/limpet/tape"
)

// Tape takes the spans that have not ended, or sets those of a new Tracer.
func (t *Tracer) Tape(on *tape.Tape) {
	byKey := func(a, b key) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id.Network, b.id.Network), cmp.Compare(a.id.Serial, b.id.Serial))
	}
	tape.Map(on, &t.open, byKey, func(k *key, s **Span) {
		on.Uint8((*uint8)(&k.kind), uint8(Server))
		on.MsgID(&k.id)
		tape.Pointer(on, s, func(s *Span) {
			on.TraceContext(&s.Context)
			on.Raw(s.Parent[:])
			on.Name(&s.Name)
			on.MsgID(&s.ID)
			on.Time(&s.Start)
		})
		if !on.Reading() || on.Err() != nil {
			return
		}
		if *s == nil {
			on.Fail("the span of %v is missing", k.id)
			return
		}
		(*s).Kind, (*s).Network, (*s).Peer = k.kind, t.cfg.Network, t.cfg.Peer
	})
}
