package translate

import (
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A duration stands in the class of the least bound that is not below it.
func TestDurations(t *testing.T) {
	var d Durations
	for i, bound := range DurationBounds {
		before := d
		d.Add(bound)
		d.Add(bound + 1)
		if d.Counts[i] != before.Counts[i]+1 || d.Counts[i+1] != 1 || d.Sum != before.Sum+2*bound+1 {
			t.Errorf("%v and a little more make %+v", bound, d)
		}
	}
	d.Add(-time.Second) // the clock went back
	if d.Counts[0] != 2 {
		t.Errorf("less than nothing makes %+v", d)
	}
}

// The time of a request is from when it was read to its reply, of either side's requests;
// what the limpet answers itself is not among them.
func TestRequestsAreTimed(t *testing.T) {
	var took, askedTook Durations
	m := New(Config{NetworkID: 1, PeerNetworkID: 2, Ksock: 9, Took: &took, AskedTook: &askedTook})
	start := time.Unix(1000, 0)
	m.Tick(nil, start)
	ask := func(serial uint32) {
		m.FromBus(nil, &kbusdev.Message{ID: kbusdev.MsgID{Serial: serial}, Name: "$.Q", From: 3, To: 0, Flags: kbusdev.WantReply | kbusdev.WantYouToReply})
	}
	ask(1)
	m.FromPeer(nil, &kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: 7}, Name: "$.R", From: 4, Flags: kbusdev.WantReply | kbusdev.WantYouToReply}, Facts{})
	if open, asked := m.Oldest(); !open.Equal(start) || !asked.Equal(start) {
		t.Errorf("the oldest are of %v and %v", open, asked)
	}
	m.Tick(nil, start.Add(3*time.Millisecond))
	ask(2)
	if open, _ := m.Oldest(); !open.Equal(start) {
		t.Errorf("the oldest is of %v", open)
	}
	m.FromPeer(nil, &kbusdev.Message{InReplyTo: kbusdev.MsgID{Network: 1, Serial: 1}, ID: kbusdev.MsgID{Network: 2, Serial: 8}, Name: "$.Q", To: 3}, Facts{})
	if open, _ := m.Oldest(); !open.Equal(start.Add(3 * time.Millisecond)) {
		t.Errorf("then the oldest is of %v", open)
	}
	m.Tick(nil, start.Add(20*time.Millisecond))
	m.FromBus(nil, &kbusdev.Message{InReplyTo: kbusdev.MsgID{Network: 2, Serial: 7}, ID: kbusdev.MsgID{Serial: 3}, Name: "$.R", To: 9})
	m.End(nil, func(kbusdev.MsgID) bool { return true })
	if open, asked := m.Oldest(); !open.IsZero() || !asked.IsZero() {
		t.Errorf("in the end the oldest are of %v and %v", open, asked)
	}
	if want := (Durations{Counts: [len(DurationBounds) + 1]uint64{5: 1}, Sum: 3 * time.Millisecond}); took != want {
		t.Errorf("ours took %+v", took)
	}
	if want := (Durations{Counts: [len(DurationBounds) + 1]uint64{7: 1}, Sum: 20 * time.Millisecond}); askedTook != want {
		t.Errorf("the peer's took %+v", askedTook)
	}
}
