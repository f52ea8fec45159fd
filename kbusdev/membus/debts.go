package membus

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A debt is a request that was read and is not answered yet.
type debt struct {
	id           kbusdev.MsgID
	requester    kbusdev.KsockID
	name         string
	newer, older *debt // by the time of reading
	same         *debt // an older one with the same id
}

// debts are a Ksock's, the latest read first.
type debts struct {
	newest *debt
	byID   idMap[*debt]
	n      int
}

func (d *debts) add(m *kbusdev.Message) {
	id := m.ID
	x := &debt{id: id, requester: m.From, name: m.Name, older: d.newest, same: d.byID.get(id)}
	if d.newest != nil {
		d.newest.newer = x
	}
	d.newest = x
	d.byID.set(id, x)
	d.n++
}

// pay forgets the latest debt with this id, if there is one.
func (d *debts) pay(id kbusdev.MsgID) {
	x := d.byID.get(id)
	if x == nil {
		return
	}
	d.byID.set(id, x.same)
	if x.newer != nil {
		x.newer.older = x.older
	} else {
		d.newest = x.older
	}
	if x.older != nil {
		x.older.newer = x.newer
	}
	d.n--
}

// awaited are the replies a Ksock waits for, by request id: an explicit id can be used
// twice.
type awaited struct {
	byID idMap[awaitedReply]
	n    int
	all  *int // those of all Ksocks of the bus
}

type awaitedReply struct {
	n       int
	request *slot         // the replier's copy of the latest one; it holds another, or nothing, once that is read
	at      time.Duration // the bus's age when the latest one was sent
}

func (a *awaited) add(id kbusdev.MsgID, request *slot, at time.Duration) {
	a.byID.set(id, awaitedReply{a.byID.get(id).n + 1, request, at})
	a.n++
	*a.all++
}

func (a *awaited) has(id kbusdev.MsgID) bool { return a.byID.get(id).n > 0 }

func (a *awaited) remove(id kbusdev.MsgID) {
	switch r := a.byID.get(id); r.n {
	case 0:
		return
	case 1:
		a.byID.set(id, awaitedReply{})
	default:
		a.byID.set(id, awaitedReply{r.n - 1, r.request, r.at})
	}
	a.n--
	*a.all--
}
