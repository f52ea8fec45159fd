package limpet

import (
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// The oldest open request is known, and what is answered is not kept.
func TestOldestRequest(t *testing.T) {
	q := new(requestQueue)
	answered := make(map[kbusdev.MsgID]bool)
	open := func(id kbusdev.MsgID) bool { return !answered[id] }
	id := func(i int) kbusdev.MsgID { return kbusdev.MsgID{Serial: uint32(i)} }
	begin := time.Unix(1000, 0)
	const n = 20 * few
	for i := range n {
		q.take(OpenRequest{ID: id(i), Since: begin.Add(time.Duration(i))}, open, 1)
		if i != 7 {
			answered[id(i)] = true
		}
		if len(q.all) > few+1 {
			t.Fatalf("%d are kept of which 1 is open", len(q.all))
		}
	}
	if r, ok := q.oldest(open); !ok || r.ID != id(7) || !r.Since.Equal(begin.Add(7)) {
		t.Errorf("the oldest is %+v, %v", r, ok)
	}
	answered[id(7)] = true
	if r, ok := q.oldest(open); ok {
		t.Errorf("the oldest of none is %+v", r)
	}
	var none *requestQueue
	none.take(OpenRequest{}, open, 1)
	if _, ok := none.oldest(open); ok {
		t.Error("there is one where none is kept")
	}
}
