package membus

import "github.com/kbus-limpet/limpet/kbusdev"

// A debt is a request that was read and is not answered yet.
type debt struct {
	id           kbusdev.MsgID
	requester    kbusdev.KsockID
	newer, older *debt // by the time of reading
	same         *debt // an older one with the same id
}

// debts are a Ksock's, the latest read first.
type debts struct {
	newest *debt
	byID   map[kbusdev.MsgID]*debt
	n      int
}

func (d *debts) add(id kbusdev.MsgID, requester kbusdev.KsockID) {
	if d.byID == nil {
		d.byID = make(map[kbusdev.MsgID]*debt)
	}
	x := &debt{id: id, requester: requester, older: d.newest, same: d.byID[id]}
	if d.newest != nil {
		d.newest.newer = x
	}
	d.newest = x
	d.byID[id] = x
	d.n++
}

// pay forgets the latest debt with this id, if there is one.
func (d *debts) pay(id kbusdev.MsgID) {
	x := d.byID[id]
	if x == nil {
		return
	}
	if x.same != nil {
		d.byID[id] = x.same
	} else {
		delete(d.byID, id)
	}
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
	byID map[kbusdev.MsgID]awaitedReply
	n    int
}

type awaitedReply struct {
	n       int
	request *slot // the replier's copy of the latest one; it holds another, or nothing, once that is read
}

func (a *awaited) add(id kbusdev.MsgID, request *slot) {
	if a.byID == nil {
		a.byID = make(map[kbusdev.MsgID]awaitedReply)
	}
	a.byID[id] = awaitedReply{a.byID[id].n + 1, request}
	a.n++
}

func (a *awaited) has(id kbusdev.MsgID) bool { return a.byID[id].n > 0 }

func (a *awaited) remove(id kbusdev.MsgID) {
	switch r := a.byID[id]; r.n {
	case 0:
		return
	case 1:
		delete(a.byID, id)
	default:
		a.byID[id] = awaitedReply{r.n - 1, r.request}
	}
	a.n--
}
