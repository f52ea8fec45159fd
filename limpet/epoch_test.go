package limpet_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/recent"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// An epoch by hand: we are network 1, the peer is network 2, our Ksock is 9.
func byHand(now time.Time) *limpet.Epoch {
	return limpet.NewEpoch(limpet.EpochConfig{
		Config: limpet.Config{
			Pattern: "$.*", MaxMessages: 100, Grace: 30 * time.Second, RequestHold: 5 * time.Second,
			StallTimeout: 5 * time.Second, WaitTimeout: time.Second,
		},
		NetworkID: 1, PeerNetworkID: 2, Ksock: 9,
		Session: link.SessionConfig{WindowMessages: 100, WindowBytes: 1 << 20},
		IDs:     recent.New(now),
		Totals:  new(limpet.Totals),
	}, now)
}

// carryOut does what the epoch wants done, with an outcome for each.
func carryOut(e *limpet.Epoch, now time.Time, outcome func(*translate.Effect) syscall.Errno) (done []translate.Effect) {
	for {
		dos := e.Dos(now, nil)
		if len(dos) == 0 {
			return done
		}
		for i := range dos {
			done = append(done, dos[i].Effect)
			dos[i].Errno = outcome(&dos[i].Effect)
		}
		e.Outcomes(now, dos)
	}
}

func allGoesWell(*translate.Effect) syscall.Errno { return 0 }

func request(serial uint32) *kbusdev.Message {
	return &kbusdev.Message{
		ID: kbusdev.MsgID{Serial: serial}, Name: "$.Ask", From: 5,
		Flags: kbusdev.WantReply | kbusdev.WantYouToReply,
	}
}

// The reader may have read messages that it brings when the epoch is over.
func TestReadWhenTheEpochIsOver(t *testing.T) {
	now := time.Unix(1000, 0)
	e := byHand(now)
	e.FromBus(now, []*kbusdev.Message{request(1)})
	e.End(now, link.Errorf(link.GoingAway, "enough"), false)
	names := func(fx []translate.Effect) (all []string) {
		for i := range fx {
			all = append(all, fx[i].Msg.InReplyTo.String()+" "+fx[i].Msg.Name)
		}
		return all
	}
	if got := names(carryOut(e, now, allGoesWell)); len(got) != 1 || got[0] != "[0:1] "+kbusdev.NameNotDelivered {
		t.Errorf("the end answers %q", got)
	}
	if !e.Over() {
		t.Fatal("it is not over")
	}
	e.FromBus(now, []*kbusdev.Message{request(2), {ID: kbusdev.MsgID{Serial: 3}, Name: "$.News", From: 5}})
	if e.Over() {
		t.Error("it is over with a request unanswered")
	}
	if got := names(carryOut(e, now, allGoesWell)); len(got) != 1 || got[0] != "[0:2] "+kbusdev.NameNotDelivered {
		t.Errorf("what was read late is answered %q", got)
	}
	c := e.Counts()
	if !e.Over() || c.Requests != 2 || c.Synthetic != 2 || c.Open != 0 || c.FromBus != 3 || c.FromBusEnded["link_lost"] != 3 || c.FromBusInFlight != 0 {
		t.Errorf("counts: %+v", c)
	}
}

// A request that waits for room on our bus is not given to it after its deadline.
func TestExpiresWhileHeld(t *testing.T) {
	now := time.Unix(1000, 0)
	e := byHand(now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	m := kbusdev.Message{
		ID: kbusdev.MsgID{Network: 2, Serial: 7}, Name: "$.Ask", From: 5, OrigFrom: kbusdev.Address{Network: 2, Local: 5},
		Flags:   kbusdev.WantReply | kbusdev.WantYouToReply | kbusdev.AllOrWait,
		Expires: now.Add(50 * time.Millisecond),
	}
	if err := e.TakeFrame(now, &link.Batch{First: 1, Messages: []kbusdev.Message{m}}); err != nil {
		t.Fatal(err)
	}
	noRoom := func(*translate.Effect) syscall.Errno { return syscall.EAGAIN }
	if tried := carryOut(e, now, noRoom); len(tried) != 1 {
		t.Fatalf("tried %d times", len(tried))
	}
	now = now.Add(100 * time.Millisecond)
	if tried := carryOut(e, now, noRoom); len(tried) != 0 {
		t.Errorf("tried after its deadline: %+v", tried)
	}
	var answer *kbusdev.Message
	for answer == nil {
		f, _, _ := e.NextFrame(now)
		switch f := f.(type) {
		case nil:
			t.Fatal("there is no answer")
		case *link.Batch:
			answer = &f.Messages[0]
		}
	}
	if answer.Name != kbusdev.NameExpired || answer.InReplyTo != m.ID {
		t.Errorf("the answer is %+v", answer)
	}
	if c := e.Counts(); c.FromPeerEnded["expired"] != 1 || c.FromPeerInFlight != 0 || c.Asked != 0 {
		t.Errorf("counts: %+v", c)
	}
}

// What waits behind a message that has expired is tried at once.
func TestWhatIsBehindAnExpiredOneIsTried(t *testing.T) {
	now := time.Unix(1000, 0)
	e := byHand(now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	b := &link.Batch{First: 1}
	for i := range uint32(4) {
		m := kbusdev.Message{
			ID: kbusdev.MsgID{Network: 2, Serial: 7 + i}, Name: "$.Ask", From: 5, OrigFrom: kbusdev.Address{Network: 2, Local: 5},
			Flags: kbusdev.WantReply | kbusdev.WantYouToReply | kbusdev.AllOrWait,
		}
		if i < 3 {
			m.Expires = now.Add(50 * time.Millisecond)
		}
		b.Messages = append(b.Messages, m)
	}
	if err := e.TakeFrame(now, b); err != nil {
		t.Fatal(err)
	}
	carryOut(e, now, func(*translate.Effect) syscall.Errno { return syscall.EAGAIN })
	now = now.Add(100 * time.Millisecond)
	if tried := carryOut(e, now, allGoesWell); len(tried) != 1 || tried[0].Msg.ID.Serial != 10 {
		t.Errorf("tried: %+v", tried)
	}
}

// An epoch without a grace waits for its first stream all the same, but not for ever.
func TestNoGraceBeforeTheFirstStream(t *testing.T) {
	now := time.Unix(1000, 0)
	cfg := epochConfig()
	cfg.Grace = 0
	e := limpet.NewEpoch(cfg, now)
	if e.Tick(now); e.Why() != nil {
		t.Errorf("it ends before its first stream: %v", e.Why())
	}
	if e.Tick(e.NextTime()); e.Why() == nil {
		t.Error("it does not end without a stream")
	}
	e = limpet.NewEpoch(cfg, now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	if e.Detach(now, link.ErrPeerClosed); e.Why() == nil {
		t.Error("it outlives its first stream")
	}
}

// A message that is tried again, and finds room, is done: nothing is left of the first
// outcome.
func TestHeldIsSentOnce(t *testing.T) {
	now := time.Unix(1000, 0)
	e := byHand(now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	m := kbusdev.Message{
		ID: kbusdev.MsgID{Network: 2, Serial: 7}, Name: "$.News", From: 5, OrigFrom: kbusdev.Address{Network: 2, Local: 5},
		Flags: kbusdev.AllOrWait,
	}
	if err := e.TakeFrame(now, &link.Batch{First: 1, Messages: []kbusdev.Message{m}}); err != nil {
		t.Fatal(err)
	}
	if tried := carryOut(e, now, func(*translate.Effect) syscall.Errno { return syscall.EAGAIN }); len(tried) != 1 {
		t.Fatalf("tried %d times", len(tried))
	}
	now = now.Add(100 * time.Millisecond)
	dos := e.Dos(now, nil)
	if len(dos) != 1 || dos[0].Errno != 0 {
		t.Fatalf("to be done: %+v", dos)
	}
	e.Outcomes(now, dos) // as they are: it was done
	if again := carryOut(e, now.Add(100*time.Millisecond), allGoesWell); len(again) != 0 {
		t.Errorf("sent again: %+v", again)
	}
	if c := e.Counts(); c.FromPeerEnded["delivered"] != 1 {
		t.Errorf("counts: %+v", c)
	}
}

// The last frame may be behind a Send that flow control holds up: the stream is given up
// soon, so that a drain ends.
func TestALastFrameThatDoesNotLeave(t *testing.T) {
	now := time.Unix(1000, 0)
	e := byHand(now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	if e.Stuck(now.Add(time.Hour)) {
		t.Error("a peer that owes nothing is stuck")
	}
	e.End(now, link.Errorf(link.GoingAway, "enough"), false)
	if e.Stuck(now.Add(500*time.Millisecond)) || !e.Stuck(now.Add(time.Second)) {
		t.Error("an epoch that has ended is not stuck after a second, or before")
	}
}

// What was announced when the peer had been started again goes to its next instance,
// however late it is read.
func TestReadLateForTheNextInstance(t *testing.T) {
	now := time.Unix(1000, 0)
	e := byHand(now)
	e.End(now, link.Errorf(link.Expired, "the peer has begun anew"), true)
	carryOut(e, now, allGoesWell)
	e.FromBus(now, []*kbusdev.Message{{ID: kbusdev.MsgID{Serial: 3}, Name: "$.News", From: 5}, request(4)})
	carryOut(e, now, allGoesWell)
	carried := e.Carried()
	if !e.Over() || len(carried) != 1 || carried[0].Msg.Name != "$.News" {
		t.Errorf("kept: %+v", carried)
	}
	if c := e.Counts(); c.FromBus != 2 || c.FromBusInFlight != 1 || c.Synthetic != 1 {
		t.Errorf("counts: %+v", c)
	}
}

// A peer that is started again and again, and takes nothing, is kept no more than the
// bounds of a window and a queue.
func TestKeptForTheNextInstanceIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	var carried []link.Outgoing
	var serial uint32
	for range 5 {
		e := byHand(now)
		e.Adopt(now, carried)
		e.End(now, link.Errorf(link.Expired, "the peer has begun anew"), true)
		carryOut(e, now, allGoesWell)
		for range 150 {
			serial++
			e.FromBus(now, []*kbusdev.Message{{ID: kbusdev.MsgID{Serial: serial}, Name: "$.News", From: 5}})
		}
		carried = e.Carried()
		if len(carried) > 200 { // WindowMessages and MaxMessages are 100
			t.Fatalf("%d messages are kept", len(carried))
		}
		if c := e.Counts(); c.FromBusEnded["link_lost"] == 0 && serial > 200 {
			t.Error("what is not kept is not counted")
		}
	}
}

// What the peer may have of a daemon that is gone is not given to it by a later session:
// the peer has forgotten its ids, and would hear it twice.
func TestNotAgainFromADaemonThatIsGone(t *testing.T) {
	now := time.Unix(1000, 0)
	news := func(network, serial uint32) *kbusdev.Message {
		return &kbusdev.Message{ID: kbusdev.MsgID{Network: network, Serial: serial}, Name: "$.News", From: 5, Data: []byte{byte(network), byte(serial)}}
	}
	begin := func(t *testing.T, carried []link.Outgoing) *limpet.Epoch {
		t.Helper()
		e := byHand(now)
		e.Adopt(now, carried)
		if err := e.Attach(now, 1); err != nil {
			t.Fatal(err)
		}
		return e
	}
	hand := func(e *limpet.Epoch) {
		for {
			if f, _, _ := e.NextFrame(now); f == nil {
				return
			}
			e.Flushed(now)
		}
	}
	end := func(e *limpet.Epoch) {
		e.End(now, link.Errorf(link.Expired, "the peer has begun anew"), true)
		carryOut(e, now, allGoesWell)
	}
	left := func(e *limpet.Epoch) (serials []uint32) {
		for _, out := range e.Carried() {
			serials = append(serials, 10*out.Msg.ID.Network+out.Msg.ID.Serial)
		}
		return serials
	}
	var lost *limpet.Totals // between sessions
	for _, c := range []struct {
		when string
		do   func(t *testing.T) *limpet.Epoch
		want []uint32
	}{
		{"in the session", func(t *testing.T) *limpet.Epoch {
			e := begin(t, nil)
			e.FromBus(now, []*kbusdev.Message{news(8, 1), news(9, 2)})
			hand(e)
			e.Restarted(now, []uint32{7, 9})
			e.Restarted(now, []uint32{6}) // of which there is nothing
			e.FromBus(now, []*kbusdev.Message{news(9, 3)})
			hand(e)
			e.FromBus(now, []*kbusdev.Message{news(9, 4)})
			end(e)
			return e
		}, []uint32{81, 93, 94}},
		{"after the session", func(t *testing.T) *limpet.Epoch {
			e := begin(t, nil)
			e.FromBus(now, []*kbusdev.Message{news(8, 1), news(9, 2)})
			hand(e)
			e.FromBus(now, []*kbusdev.Message{news(9, 3)})
			end(e)
			e.Restarted(now, []uint32{7, 9})
			return e
		}, []uint32{81, 93}},
		{"between sessions", func(t *testing.T) *limpet.Epoch {
			e := begin(t, nil)
			e.FromBus(now, []*kbusdev.Message{news(8, 1), news(9, 2)})
			hand(e)
			end(e)
			kept := limpet.LoseRestarted(e.Carried(), []uint32{9}, lost)
			e = begin(t, kept)
			end(e)
			return e
		}, []uint32{81}},
		{"in the next session", func(t *testing.T) *limpet.Epoch {
			e := begin(t, nil)
			e.FromBus(now, []*kbusdev.Message{news(8, 1), news(9, 2)})
			hand(e)
			end(e)
			e = begin(t, e.Carried())
			e.Restarted(now, []uint32{7, 9})
			e.FromBus(now, []*kbusdev.Message{news(9, 2)}) // another one
			end(e)
			return e
		}, []uint32{81, 92}},
	} {
		t.Run(c.when, func(t *testing.T) {
			lost = new(limpet.Totals)
			e := c.do(t)
			if got := left(e); !slices.Equal(got, c.want) {
				t.Errorf("left are %v, want %v", got, c.want)
			}
			if n := e.Counts().FromBusEnded["link_lost"] + lost.Counts().FromBusEnded["link_lost"]; n != 1 {
				t.Errorf("%d are counted as lost", n)
			}
		})
	}
}
