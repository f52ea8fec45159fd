package limpet_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// tables returns the Table frames of a kind that the puppet has got.
func (p *puppet) tables(kind link.TableKind) (all []*link.Table) {
	for _, f := range p.frames {
		if t, ok := f.(*link.Table); ok && t.Kind == kind {
			all = append(all, t)
		}
	}
	return all
}

// requests counts the requests of that name that it has got, without copies for listeners.
func (p *puppet) requests(name string) (n int) {
	for _, m := range p.named(name) {
		if m.WantsUsToReply() {
			n++
		}
	}
	return n
}

// digest is that of bindings of its Ksock 5, as another machine makes it.
func digest(names ...string) *link.Table {
	m := translate.New(translate.Config{NetworkID: 2, PeerNetworkID: 1, Ksock: 99})
	for _, name := range names {
		e := bindEvent(true, 5, name)
		e.ID = kbusdev.MsgID{}
		m.FromBus(nil, &e)
	}
	d := m.ToldDigest()
	return &link.Table{Kind: link.TableDigest, Names: d.Names, Sum: d.Sum}
}

// A peer whose digest is not that of what it has told is asked to tell all again: what
// was missing is bound then, and what is not named is unbound.
func TestDigestHealsWhatThePeerHasNotTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{})
		bound := func(name string) bool {
			_, ok := bus.FindReplier(name)
			return ok
		}
		p.bind(true, "$.A", "$.Ghost")
		p.listen(true)
		p.send(digest("$.A", "$.Ghost"))
		p.live(5*time.Second, true)
		if n := len(p.tables(link.TableResync)); n != 0 {
			t.Fatalf("%d resyncs are asked for though the digest is right", n)
		}
		// $.Ghost was unbound and $.B bound, and neither event has come.
		p.send(digest("$.A", "$.B"))
		p.live(time.Second, true)
		if n := len(p.tables(link.TableResync)); n != 1 {
			t.Fatalf("%d resyncs are asked for", n)
		}
		p.send(&link.Table{Kind: link.TableBegin})
		p.bind(true, "$.A", "$.B")
		p.send(&link.Table{Kind: link.TableEnd})
		p.live(time.Second, true)
		if !bound("$.A") || !bound("$.B") || bound("$.Ghost") {
			t.Errorf("bound: A %t, B %t, Ghost %t", bound("$.A"), bound("$.B"), bound("$.Ghost"))
		}
		p.send(digest("$.A", "$.B"))
		p.live(time.Second, true)
		if n := len(p.tables(link.TableResync)); n != 1 || p.status().Counts.Resyncs != 1 {
			t.Errorf("%d resyncs, %d counted", n, p.status().Counts.Resyncs)
		}
	})
}

// A peer is told the digest of what it has been told every minute, and all again if it
// asks: between a beginning and an end, with the changes that come meanwhile.
func TestTableIsToldAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(5000))
		p := dialPuppet(t, bus, limpet.Config{})
		replier, late := open(t, bus), open(t, bus)
		const names = 1500 // more than the lane of bind events takes at once
		for i := range names {
			bind(t, replier, fmt.Sprintf("$.R%d", i), kbusdev.Replier)
		}
		p.live(70*time.Second, true)
		digests := p.tables(link.TableDigest)
		if len(digests) != 1 || digests[0].Names != names {
			t.Fatalf("digests within 70 s: %+v", digests)
		}
		p.got, p.frames = nil, nil
		p.send(&link.Table{Kind: link.TableResync})
		synctest.Wait()
		if err := replier.Unbind("$.R0", kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
		bind(t, late, "$.Late", kbusdev.Replier)
		p.live(time.Second, true)
		if len(p.tables(link.TableBegin)) != 1 || len(p.tables(link.TableEnd)) != 1 {
			t.Fatalf("told: %+v", p.frames)
		}
		told := make(map[string]bool)
		for _, m := range p.named(kbusdev.NameReplierBindEvent) {
			told[m.Event.Name] = m.Event.Bound
		}
		if told["$.R0"] || !told["$.Late"] || !told[fmt.Sprintf("$.R%d", names-1)] || len(told) != names+1 {
			t.Errorf("%d names are told", len(told))
		}
		p.live(70*time.Second, true)
		if d := p.tables(link.TableDigest); len(d) == 0 || d[len(d)-1].Names != names {
			t.Errorf("digests afterwards: %+v", d)
		}
	})
}

// A resync whose beginning was lost with a stream changes nothing; the next digest asks
// for another.
func TestResyncThatIsBrokenOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{})
		p.bind(true, "$.A", "$.Ghost")
		p.send(digest("$.A"))
		p.live(time.Second, true)
		p.cut()
		p.redial()
		p.bind(true, "$.A")
		p.send(&link.Table{Kind: link.TableEnd})
		p.live(time.Second, true)
		if n := boundOn(t, bus); n != 2 {
			t.Errorf("%d names are bound after an end without a beginning", n)
		}
		p.frames = nil
		p.send(digest("$.A"))
		p.live(time.Second, true)
		if n := len(p.tables(link.TableResync)); n != 1 {
			t.Fatalf("%d resyncs are asked for", n)
		}
		p.send(&link.Table{Kind: link.TableBegin})
		synctest.Wait()
		p.cut() // in the middle of it
		p.redial()
		p.bind(true, "$.A")
		p.send(&link.Table{Kind: link.TableEnd})
		p.live(time.Second, true)
		if n := boundOn(t, bus); n != 1 {
			t.Errorf("%d names are bound", n)
		}
	})
}

// Two replying sides: the local replier wins a contested name. When it goes, the peer's
// is bound; an unbind that comes late does not take the name from the peer's newer one.
func TestContestedNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{})
		local, asker := open(t, bus), open(t, bus)
		bind(t, local, "$.Both", kbusdev.Replier)
		p.bind(true, "$.Both")
		ask(t, asker, "$.Both")
		if n := len(queuedOn(t, local)); n != 1 {
			t.Fatalf("the local replier gets %d requests", n)
		}
		if st := p.status(); st.Counts.Wishes != 1 || st.Counts.Proxies != 0 {
			t.Errorf("%+v", st.Counts)
		}
		if err := local.Close(); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		ask(t, asker, "$.Both")
		p.listen(true)
		if n := p.requests("$.Both"); n != 1 {
			t.Fatalf("the peer gets %d requests once the local replier has gone", n)
		}
		// At the peer Ksock 6 has taken the name from 5, and the news of it overtake.
		p.bring(bindEvent(true, 6, "$.Both"), bindEvent(false, 5, "$.Both"))
		ask(t, asker, "$.Both")
		p.listen(true)
		if n := p.requests("$.Both"); n != 2 {
			t.Errorf("a late unbind takes the name from a newer replier")
		}
		p.bring(bindEvent(false, 6, "$.Both"))
		if _, err := asker.Send(t.Context(), &kbusdev.Message{Name: "$.Both", Flags: kbusdev.WantReply}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("after the unbind of the newer one: %v", err)
		}
		lawful(t, false, p.node)
	})
}

// Both sides bind and unbind the same names, over a link that is cut meanwhile; in the
// end each bus has one replier for each name that is bound anywhere.
func TestTablesConverge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newChain(t, 3, limpet.Config{})
		var programs [3]kbusdev.Ksock
		for i := range programs {
			programs[i] = open(t, c.buses[i])
		}
		holder := make(map[string]int)
		for round := range 200 {
			name := fmt.Sprintf("$.N%d", round*7%20)
			if at, held := holder[name]; held {
				if err := programs[at].Unbind(name, kbusdev.Replier); err != nil {
					t.Fatal(err)
				}
				delete(holder, name)
			}
			at := round * 5 % 3
			if err := programs[at].Bind(name, kbusdev.Replier); err == nil {
				holder[name] = at
			}
			if round%10 == 0 {
				c.cables[round/10%2].pull()
				c.cables[round/10%2].plug(nil)
			}
		}
		pass(2 * time.Minute)
		for i, bus := range c.buses {
			if n := boundOn(t, bus); n != len(holder) {
				t.Errorf("network %d has %d repliers, %d names are bound", i+1, n, len(holder))
			}
		}
		asker := open(t, c.buses[0])
		for name, at := range holder {
			ask(t, asker, name)
			synctest.Wait()
			if n := len(queuedOn(t, programs[at])); n != 1 {
				t.Errorf("%s, bound on network %d, is asked %d times", name, at+1, n)
			}
		}
		for _, n := range c.nodes {
			for _, p := range n.Peerings() {
				if r := p.Status().Counts.Resyncs; r != 0 {
					t.Errorf("network %d, %s: %d resyncs with honest peers", n.NetworkID(), p, r)
				}
			}
		}
	})
}
