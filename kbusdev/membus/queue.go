package membus

import "github.com/kbus-limpet/limpet/kbusdev"

// A queued is one recipient's copy of a message: the message is shared, the
// flags are its own.
type queued struct {
	msg     *kbusdev.Message
	flags   kbusdev.Flags
	via     *binding // the binding it came through; nil for replies and synthetic messages
	request bool     // it is the replier's copy of a request
}

// A queue is a ring that grows, with both ends open: URGENT goes to the front.
type queue struct {
	ring  []queued // its length is a power of two
	first int
	n     int
}

func (q *queue) at(i int) *queued { return &q.ring[(q.first+i)&(len(q.ring)-1)] }

func (q *queue) grow() {
	if q.n < len(q.ring) {
		return
	}
	bigger := make([]queued, max(8, 2*len(q.ring)))
	for i := range q.n {
		bigger[i] = *q.at(i)
	}
	q.ring, q.first = bigger, 0
}

func (q *queue) pushBack(e queued) {
	q.grow()
	q.n++
	*q.at(q.n - 1) = e
}

func (q *queue) pushFront(e queued) {
	q.grow()
	q.first = (q.first - 1) & (len(q.ring) - 1)
	q.n++
	*q.at(0) = e
}

func (q *queue) pop() queued {
	e := *q.at(0)
	*q.at(0) = queued{}
	q.first = (q.first + 1) & (len(q.ring) - 1)
	q.n--
	if q.n == 0 && len(q.ring) > 1024 { // give a burst's memory back
		*q = queue{}
	}
	return e
}

// takeVia removes what came through b, in order, and keeps the rest.
func (q *queue) takeVia(b *binding) []queued {
	var taken []queued
	kept := 0
	for i := range q.n {
		if e := *q.at(i); e.via == b {
			taken = append(taken, e)
		} else {
			*q.at(kept) = e
			kept++
		}
	}
	for i := kept; i < q.n; i++ {
		*q.at(i) = queued{}
	}
	q.n = kept
	return taken
}

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

// awaited counts the replies a Ksock waits for, by request id: an explicit id can
// be used twice.
type awaited struct {
	byID map[kbusdev.MsgID]int
	n    int
}

func (a *awaited) add(id kbusdev.MsgID) {
	if a.byID == nil {
		a.byID = make(map[kbusdev.MsgID]int)
	}
	a.byID[id]++
	a.n++
}

func (a *awaited) has(id kbusdev.MsgID) bool { return a.byID[id] > 0 }

func (a *awaited) remove(id kbusdev.MsgID) {
	switch n := a.byID[id]; n {
	case 0:
		return
	case 1:
		delete(a.byID, id)
	default:
		a.byID[id] = n - 1
	}
	a.n--
}
