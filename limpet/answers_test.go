package limpet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// An answer that the limpet makes itself, without its bus, leaves at once; so does the
// acknowledgement of what ends here.
func TestAnswersOfOurOwnDoNotWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialPuppet(t, membus.New(), limpet.Config{})
		p.live(time.Second, true)
		p.bring(kbusdev.Message{
			ID: kbusdev.MsgID{Network: 2, Serial: 1}, From: 7, To: 8, OrigFrom: kbusdev.Address{Network: 2, Local: 7},
			FinalTo: kbusdev.Address{Network: 1, Local: 8}, Name: "$.Nobody", Flags: kbusdev.WantReply | kbusdev.WantYouToReply,
		})
		p.listen(true)
		if a := p.named(kbusdev.NameReplierGoneAway); len(a) != 1 || a[0].InReplyTo.Serial != 1 {
			t.Errorf("answered at once: %+v", p.got)
		}
		p.frames = nil
		p.bring(kbusdev.Message{ID: kbusdev.MsgID{Network: 1, Serial: 1}, Name: "$.CameRound"})
		pass(10 * time.Millisecond)
		p.listen(false)
		if len(p.frames) != 1 {
			t.Errorf("acknowledged within 10 ms: %v", p.frames)
		} else if ack, ok := p.frames[0].(*link.Ack); !ok || ack.Sequence != 2 {
			t.Errorf("acknowledged with %+v", p.frames[0])
		}
	})
}

// A losingBus is said to lose unread requests, as the kernel module does.
type losingBus struct{ *membus.Bus }

func (losingBus) LosesUnread() bool { return true }

// On a bus that loses a stateful request whose replier goes away unread, the peer is
// answered in the replier's place, on a quiet bus too. What the replier says after that
// is counted as late, and does not cross.
func TestLateAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, losingBus{bus}, limpet.Config{})
		replier := open(t, bus)
		bind(t, replier, "$.Near", kbusdev.Replier)
		bind(t, replier, "$.Other", kbusdev.Replier)
		synctest.Wait()
		request := nearRequest(1, time.Hour)
		request.To, request.FinalTo = 5, kbusdev.Address{Network: 1, Local: replier.ID()}
		p.bring(request)
		q := received(t, replier)
		if err := replier.Unbind("$.Near", kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
		p.live(29*time.Second, true)
		if len(p.named(kbusdev.NameOutcomeUnknown)) != 0 {
			t.Fatal("a replier that lives is given up early")
		}
		p.live(2*time.Second, true)
		if a := p.named(kbusdev.NameOutcomeUnknown); len(a) != 1 || a[0].InReplyTo != request.ID {
			t.Fatalf("the peer is answered %+v", a)
		}
		sendTo(t, replier, &kbusdev.Message{Name: "$.Near", To: q.From, InReplyTo: q.ID})
		p.live(time.Second, true)
		if c := p.status().Counts; c.FromBusEnded["late_reply"] != 1 || len(p.named("$.Near")) != 0 {
			t.Errorf("the late answer: %+v, %+v", c, p.named("$.Near"))
		}
		// One that has unbound its last name is thought to have gone.
		request = nearRequest(2, time.Hour)
		request.Name, request.To, request.FinalTo = "$.Other", 5, kbusdev.Address{Network: 1, Local: replier.ID()}
		p.bring(request)
		received(t, replier)
		if err := replier.Unbind("$.Other", kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
		pass(2100 * time.Millisecond) // nothing else happens meanwhile
		p.listen(true)
		if a := p.named(kbusdev.NameReplierGoneAway); len(a) != 1 || a[0].InReplyTo != request.ID {
			t.Errorf("the peer is answered %+v", p.got)
		}
		p.live(time.Second, true)
		lawful(t, true, p.node)
	})
}

// Requests, copies for listeners and announcements for names outside our pattern do not
// cross, and such names are not bound here for the peer.
func TestNamesOutsideOurPattern(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{Pattern: "$.In.*"})
		program := open(t, bus)
		p.bind(true, "$.In.Far", "$.Out.Far", "$.*")
		for name, bound := range map[string]bool{"$.In.Far": true, "$.In.Else": true, "$.Out.Far": false, "$.Out": false} {
			_, err := program.Send(t.Context(), &kbusdev.Message{Name: name, Flags: kbusdev.WantReply})
			if (err == nil) != bound {
				t.Errorf("a request for %s: %v", name, err)
			}
		}
		bind(t, program, "$.In.Near", kbusdev.Replier)
		bind(t, program, "$.Out.Near", kbusdev.Replier)
		sendTo(t, program, &kbusdev.Message{Name: "$.In.News"})
		sendTo(t, program, &kbusdev.Message{Name: "$.Out.News"})
		synctest.Wait()
		p.listen(true)
		got := make(map[string]int)
		for _, m := range p.got {
			if m.Event != nil {
				got["bound "+m.Event.Name]++
			} else {
				got[m.Name]++
			}
		}
		for _, name := range []string{"$.In.Far", "$.In.Else", "bound $.In.Near", "$.In.News"} {
			if got[name] != 1 {
				t.Errorf("the peer gets %s %d times", name, got[name])
			}
			delete(got, name)
		}
		if len(got) != 0 {
			t.Errorf("the peer gets %v too", got)
		}
	})
}

// Two limpets of others on one bus, both linked to one node: what both bring is brought
// once.
func TestTwoLinksBringOneCopy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hub, far := membus.New(membus.WithMaxMessages(10000)), membus.New(membus.WithMaxMessages(10000))
		nh := node(t, hub, 1)
		limpet.AllowLoops(nh)
		links := make([]*limpet.Node, 2)
		for i := range links {
			links[i] = node(t, far, 2)
			limpet.AllowLoops(links[i])
			joinClassic(t, links[i], nh, limpet.Config{})
		}
		pass(time.Second)
		here, there := open(t, hub), open(t, far)
		bind(t, here, "$.News", kbusdev.Listener)
		bind(t, there, "$.News", kbusdev.Listener)
		synctest.Wait()
		for range 20 {
			sendTo(t, there, &kbusdev.Message{Name: "$.News"})
		}
		pass(10 * time.Second)
		if n := len(queuedOn(t, here)); n != 20 {
			t.Errorf("20 announcements are heard %d times at the hub", n)
		}
		if n := len(queuedOn(t, there)); n != 20 {
			t.Errorf("20 announcements are heard %d times where they come from", n)
		}
	})
}

// The same id arriving again on the same link is a copy.
func TestTheSameIDAgainIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{})
		listener := open(t, bus)
		bind(t, listener, "$.News", kbusdev.Listener)
		news := kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: 7}, Name: "$.News"}
		p.bring(news, news)
		p.cut()
		p.restart()
		p.dial()
		p.bring(kbusdev.Message{ID: kbusdev.MsgID{Network: 3, Serial: 7}, Name: "$.News"}) // another network's
		if n := len(queuedOn(t, listener)); n != 2 {
			t.Errorf("heard %d times", n)
		}
		if n := p.status().Counts.FromPeerEnded["brought_before"]; n != 1 {
			t.Errorf("%d copies are counted", n)
		}
	})
}
