package membus

import "github.com/kbus-limpet/limpet/kbusdev"

// Withdraw takes back a request that this Ksock has sent, if its replier has not read it
// yet: the replier never gets it, and no reply comes. It reports whether it did. If not,
// the request may be with its replier, and its reply may still come, or has.
//
// The module has no such thing: there a request stays in its replier's queue, also when
// the Ksock that sent it is closed, and whoever answers it then is told EADDRNOTAVAIL.
// Listeners keep their copies. An id that was sent twice and is open twice is not taken
// back. Withdraw costs the same however much is queued.
func (k *Ksock) Withdraw(id kbusdev.MsgID) bool {
	withdrawn := false
	_ = k.locked("withdraw", "", func() error {
		asked := k.awaited.byID.get(id)
		s := asked.request
		if asked.n != 1 || s == nil || !s.request || s.msg.ID != id || s.msg.From != k.id {
			return nil
		}
		replier := s.via.ksock
		replier.queue.take(s)
		k.awaited.remove(id)
		withdrawn = true
		b := k.bus
		b.moveSetAside(replier)
		b.roomAt(replier)
		b.roomAt(k)
		return nil
	})
	return withdrawn
}
