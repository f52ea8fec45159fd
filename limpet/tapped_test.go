package limpet_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rename"
	"github.com/kbus-limpet/limpet/limpet/tap"
)

// tapped counts what a tap of a whole node shows.
type tapped struct {
	tap   *tap.Tap
	links map[string]*shown
}

// shown is what was shown of one link.
type shown struct {
	read, own uint64 // of our bus; answers of our own that our bus has taken
	ended     [2]map[string]uint64
}

func newShown() *shown {
	return &shown{ended: [2]map[string]uint64{make(map[string]uint64), make(map[string]uint64)}}
}

// tapAll taps a node that has no links yet.
func tapAll(t testing.TB, n *limpet.Node) *tapped {
	t.Helper()
	x, err := n.Taps().Open(tap.Config{Rate: tap.MaxRate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return &tapped{tap: x, links: make(map[string]*shown)}
}

func (x *tapped) take() {
	for x.tap.Next(func(r *tap.Record) {
		l := x.links[r.Link]
		if l == nil {
			l = newShown()
			x.links[r.Link] = l
		}
		switch {
		case r.Own:
			if r.Verdict == tap.Delivered {
				l.own++
			}
			return
		case r.Verdict == tap.Delivered:
			l.ended[1]["delivered"]++
		case r.Verdict == tap.Dropped:
			l.ended[r.Direction-tap.ToPeer][r.Reason.String()]++
		}
		if r.Direction == tap.ToPeer && r.Read.Name != "" {
			l.read++
		}
	}) {
	}
}

// check holds what was shown of each link against what it has counted; of links of the same
// name together.
func (x *tapped) check(t *testing.T, n *limpet.Node) {
	t.Helper()
	x.take()
	if x.tap.Lost() != (tap.Lost{}) {
		t.Errorf("network %d: the tap has lost %+v", n.NetworkID(), x.tap.Lost())
	}
	counted := make(map[string]*shown)
	for _, p := range n.Peerings() {
		l := counted[p.Name()]
		if l == nil {
			l = newShown()
			counted[p.Name()] = l
		}
		c := p.Status().Counts
		l.read += c.FromBus
		l.own += c.Synthetic
		for i, ended := range []map[string]uint64{c.FromBusEnded, c.FromPeerEnded} {
			for why, n := range ended {
				if i == 1 || why != "delivered" { // by the peer's bus, which is not seen here
					l.ended[i][why] += n
				}
			}
		}
	}
	for name, want := range counted {
		got := x.links[name]
		if got == nil {
			got = newShown()
		}
		for i := range want.ended {
			maps.DeleteFunc(want.ended[i], func(_ string, n uint64) bool { return n == 0 })
			if !maps.Equal(got.ended[i], want.ended[i]) {
				t.Errorf("network %d: %s: shown are %v, counted %v", n.NetworkID(), name, got.ended[i], want.ended[i])
			}
		}
		if got.read != want.read || got.own > want.own {
			t.Errorf("network %d: %s: %d and %d of our own were shown, %d were read, and %d synthetic", n.NetworkID(), name, got.read, got.own, want.read, want.own)
		}
	}
}

// line says what a record shows, without what differs from run to run.
func line(r *tap.Record) string {
	side := func(h *tap.Header) string {
		if h.Name == "" {
			return "-"
		}
		s := fmt.Sprintf("%s %v", h.Name, h.ID)
		if !h.InReplyTo.IsZero() {
			s += fmt.Sprintf(" in_reply_to %v", h.InReplyTo)
		}
		s += fmt.Sprintf(" %d to %d", h.From, h.To)
		if !h.OrigFrom.IsZero() {
			s += fmt.Sprintf(" orig_from %v", h.OrigFrom)
		}
		return s
	}
	way := "to the peer"
	if r.Direction == tap.FromPeer {
		way = "from the peer"
	}
	end := r.Verdict.String()
	if r.Verdict == tap.Dropped {
		end += " " + r.Reason.String()
	}
	if r.Own {
		end += " own"
	}
	return fmt.Sprintf("%s, %s: %s => %s: %s %q of %d", r.Link, way, side(&r.Read), side(&r.Given), end, r.Data, r.Size)
}

// Both sides of the rewriting, at each daemon of a chain, one link of which renames.
func TestTapOfAChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var nodes []*limpet.Node
		var taps []*tap.Tap
		for i := range uint32(3) {
			n := node(t, membus.New(membus.WithFirstSerial(1)), i+1)
			x, err := n.Taps().Open(tap.Config{Names: []string{"$.Plant.*", "$.Site.*", "$.KBUS.Replier.*"}, MaxData: 3})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(x.Close)
			nodes, taps = append(nodes, n), append(taps, x)
		}
		join(t, nodes[0], nodes[1], limpet.Config{})
		synctest.Wait() // the Ksocks of a node have their ids in this order
		renames, err := rename.Compile([]rename.Rename{{Here: "$.Plant", There: "$.Site"}})
		if err != nil {
			t.Fatal(err)
		}
		near, far := pipe()
		serveBoth(t, nodes[1], nodes[2], limpet.Config{Renames: renames}, false,
			func(ctx context.Context, p *limpet.Peering) error { return p.Dial(ctx, near, nil) },
			func(ctx context.Context) error { return nodes[2].Accept(ctx, far, limpet.Config{}) })
		synctest.Wait()
		asker, replier := open(t, nodes[0].Bus()), open(t, nodes[2].Bus())
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(replier.Bind("$.Site.Ask", kbusdev.Replier))
		must(replier.Bind("$.Site.News", kbusdev.Listener))
		synctest.Wait()
		must(second(asker.Send(t.Context(), &kbusdev.Message{Name: "$.Plant.News", Data: []byte("hello")})))
		must(second(asker.Send(t.Context(), &kbusdev.Message{Name: "$.Plant.Other"})))
		must(second(asker.Send(t.Context(), &kbusdev.Message{Name: "$.Plant.Ask", Flags: kbusdev.WantReply})))
		synctest.Wait()
		for range 2 {
			m, err := replier.Recv(t.Context())
			must(err)
			if m.WantsUsToReply() {
				must(second(replier.Send(t.Context(), &kbusdev.Message{Name: m.Name, To: m.From, InReplyTo: m.ID, Data: []byte("yes")})))
			}
		}
		synctest.Wait()
		must(second(asker.Send(t.Context(), &kbusdev.Message{Name: "$.Plant.Ask", Flags: kbusdev.WantReply})))
		synctest.Wait()
		must(replier.Close()) // which answers it: the replier has not read it
		synctest.Wait()
		var got []string
		for i, x := range taps {
			got = append(got, fmt.Sprintf("at network %d", i+1))
			for x.Next(func(r *tap.Record) {
				if r.Kind != tap.BindEvent {
					got = append(got, line(r))
				}
			}) {
			}
		}
		want := `at network 1
dial 2, to the peer: $.Plant.News [0:2] 3 to 0 => $.Plant.News [1:2] 3 to 0 orig_from {1:3}: forwarded "hel" of 5
dial 2, to the peer: $.Plant.Ask [0:4] 3 to 0 => $.Plant.Ask [1:4] 3 to 0 orig_from {1:3}: forwarded "" of 0
dial 2, from the peer: $.Plant.Ask [2:2] in_reply_to [1:4] 3 to 2 orig_from {3:3} => $.Plant.Ask [0:0] in_reply_to [0:4] 3 to 3 orig_from {3:3}: delivered "yes" of 3
dial 2, to the peer: $.Plant.Ask [0:6] 3 to 0 => $.Plant.Ask [1:6] 3 to 0 orig_from {1:3}: forwarded "" of 0
dial 2, from the peer: $.KBUS.Replier.GoneAway [2:4] in_reply_to [1:6] 3 to 2 orig_from {3:3} => $.KBUS.Replier.GoneAway [0:0] in_reply_to [0:6] 3 to 3 orig_from {3:3}: delivered "" of 0
at network 2
network 1, from the peer: $.Plant.News [1:2] 3 to 0 orig_from {1:3} => $.Plant.News [1:2] 3 to 0 orig_from {1:3}: delivered "hel" of 5
network 1, from the peer: $.Plant.Ask [1:4] 3 to 0 orig_from {1:3} => $.Plant.Ask [1:4] 3 to 0 orig_from {1:3}: delivered "" of 0
dial 3, to the peer: $.Plant.News [1:2] 2 to 0 orig_from {1:3} => $.Site.News [1:2] 2 to 0 orig_from {1:3}: forwarded "hel" of 5
dial 3, to the peer: $.Plant.Ask [1:4] 2 to 0 orig_from {1:3} => $.Site.Ask [1:4] 2 to 0 orig_from {1:3}: forwarded "" of 0
dial 3, from the peer: $.Site.Ask [3:2] in_reply_to [1:4] 3 to 2 orig_from {3:3} => $.Plant.Ask [0:0] in_reply_to [1:4] 3 to 2 orig_from {3:3}: delivered "yes" of 3
network 1, to the peer: $.Plant.Ask [0:2] in_reply_to [1:4] 3 to 2 orig_from {3:3} => $.Plant.Ask [2:2] in_reply_to [1:4] 3 to 2 orig_from {3:3}: forwarded "yes" of 3
network 1, from the peer: $.Plant.Ask [1:6] 3 to 0 orig_from {1:3} => $.Plant.Ask [1:6] 3 to 0 orig_from {1:3}: delivered "" of 0
dial 3, to the peer: $.Plant.Ask [1:6] 2 to 0 orig_from {1:3} => $.Site.Ask [1:6] 2 to 0 orig_from {1:3}: forwarded "" of 0
dial 3, from the peer: $.KBUS.Replier.GoneAway [3:3] in_reply_to [1:6] 3 to 2 orig_from {3:3} => $.KBUS.Replier.GoneAway [0:0] in_reply_to [1:6] 3 to 2 orig_from {3:3}: delivered "" of 0
network 1, to the peer: $.KBUS.Replier.GoneAway [0:4] in_reply_to [1:6] 3 to 2 orig_from {3:3} => $.KBUS.Replier.GoneAway [2:4] in_reply_to [1:6] 3 to 2 orig_from {3:3}: forwarded "" of 0
at network 3
network 2, from the peer: $.Site.News [1:2] 2 to 0 orig_from {1:3} => $.Site.News [1:2] 2 to 0 orig_from {1:3}: delivered "hel" of 5
network 2, from the peer: $.Site.Ask [1:4] 2 to 0 orig_from {1:3} => $.Site.Ask [1:4] 2 to 0 orig_from {1:3}: delivered "" of 0
network 2, to the peer: $.Site.Ask [0:2] in_reply_to [1:4] 3 to 2 => $.Site.Ask [3:2] in_reply_to [1:4] 3 to 2 orig_from {3:3}: forwarded "yes" of 3
network 2, from the peer: $.Site.Ask [1:6] 2 to 0 orig_from {1:3} => $.Site.Ask [1:6] 2 to 0 orig_from {1:3}: delivered "" of 0
network 2, to the peer: $.KBUS.Replier.GoneAway [0:3] in_reply_to [1:6] 3 to 2 => $.KBUS.Replier.GoneAway [3:3] in_reply_to [1:6] 3 to 2 orig_from {3:3}: forwarded "" of 0
`
		if s := strings.Join(got, "\n") + "\n"; s != want {
			t.Errorf("shown is\n%s\nnot\n%s", s, want)
		}
	})
}
