package membus

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// OpenRequests calls f for each request that has no reply yet, in no order, until it returns
// false. The bus goes on meanwhile: what is sent or answered during the call may be told or
// not, and a request that is read then may be told twice. No lock is held while f runs, and
// the bus's is taken for a few requests at a time, however many there are.
func (b *Bus) OpenRequests(f func(kbusdev.OpenRequest) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	some := make([]kbusdev.OpenRequest, 0, 2*blockLen)
	give := func() bool { // what was found, without the lock
		if len(some) == 0 {
			return true
		}
		b.mu.Unlock()
		defer b.mu.Lock()
		for _, r := range some {
			if !f(r) {
				return false
			}
		}
		some = some[:0]
		return true
	}
	// A map may change while it is ranged over, between two steps.
	for _, ksocks := range b.ksocks.blocks {
		for _, k := range ksocks.values { // a copy
			if k == nil {
				continue
			}
			for key, waits := range k.awaited.byID.blocks {
				for i := range waits.values {
					if r, ok := k.unread(idAt(key, i), &waits.values[i]); ok {
						some = append(some, r)
					}
				}
				if !give() {
					return
				}
			}
			for key, owed := range k.debts.byID.blocks {
				for i, d := range owed.values {
					for ; d != nil; d = d.same {
						if r, ok := k.owed(idAt(key, i), d); ok {
							some = append(some, r)
						}
					}
				}
				if !give() {
					return
				}
			}
		}
	}
}

// unread returns a request that k waits for the reply to, if its replier has not read it.
func (k *Ksock) unread(id kbusdev.MsgID, a *awaitedReply) (kbusdev.OpenRequest, bool) {
	s := a.request
	if k.gone || a.n == 0 || s == nil || !s.request || s.msg.ID != id || s.msg.From != k.id {
		return kbusdev.OpenRequest{}, false
	}
	return kbusdev.OpenRequest{ID: id, Name: s.msg.Name, Asker: k.id, Replier: s.via.ksock.id, Since: k.bus.born.Add(a.at)}, true
}

// owed returns a request that k has read, if somebody waits for the reply.
func (k *Ksock) owed(id kbusdev.MsgID, d *debt) (kbusdev.OpenRequest, bool) {
	asker := k.bus.ksock(d.requester)
	if asker == nil {
		return kbusdev.OpenRequest{}, false
	}
	a := asker.awaited.byID.get(id)
	if a.n == 0 {
		return kbusdev.OpenRequest{}, false
	}
	return kbusdev.OpenRequest{ID: id, Name: d.name, Asker: d.requester, Replier: k.id, Since: k.bus.born.Add(a.at), Read: true}, true
}

// OnReply has f called for each reply that the bus takes, with the name of its request, who
// has replied, and how long it took since the request was sent. f is as that of OnMiss.
func (b *Bus) OnReply(f func(name string, replier kbusdev.KsockID, took time.Duration)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onReply = f
}

// replied tells of a reply by k that requester waits for.
func (k *Ksock) replied(m *kbusdev.Message, requester *Ksock) {
	name := m.Name
	if d := k.debts.byID.get(m.InReplyTo); d != nil {
		name = d.name
	}
	k.bus.onReply(name, k.id, k.bus.age()-requester.awaited.byID.get(m.InReplyTo).at)
}

// age returns how long there has been a bus: it costs less than the time, and is smaller.
func (b *Bus) age() time.Duration { return time.Since(b.born) }
