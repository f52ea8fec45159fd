package limpet_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// policies returns what a node asks, of rules.
func policies(t *testing.T, all ...rules.Rule) limpet.PolicyOf {
	t.Helper()
	s, err := rules.Compile(all)
	if err != nil {
		t.Fatal(err)
	}
	return func(_ string, id rules.Identity, network uint32) *rules.Policy { return s.For(id, network) } // in these tests one goroutine at a time asks
}

// named returns a stream with a peer of that name at its other end.
func named(s link.Stream, name string) link.Stream {
	return limpet.Identify(s, rules.Identity{Names: []string{name}}, "test")
}

// linkNamed is linkOnce with who is at the other end of each stream.
func linkNamed(t *testing.T, from *limpet.Node, fromName string, to *limpet.Node, toName string) (dialled, accepted error) {
	t.Helper()
	a, b := pipe()
	ctx, cancel := context.WithCancel(t.Context())
	p := from.NewDialled("to "+toName, limpet.Config{Grace: -1}, false)
	ended := make(chan error, 2)
	dialEnded := make(chan error, 1)
	go func() { dialEnded <- p.Dial(ctx, named(a, toName), nil) }()
	go func() { ended <- to.Accept(ctx, named(b, fromName), limpet.Config{Grace: -1}) }()
	pass(5 * time.Second)
	t.Cleanup(cancel)
	select {
	case dialled = <-dialEnded:
		return dialled, <-ended
	default:
		return nil, nil
	}
}

func TestWhoMayJoin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := node(t, membus.New(), 1)
		a.SetPolicies(policies(t,
			rules.Rule{Allow: []string{"join"}, Who: []string{"name:b.example"}, Networks: []string{"2", "3"}},
			rules.Rule{Allow: []string{"join"}, Who: []string{"name:d.example"}, Networks: []string{"4"}},
		))
		refused := func(what string, n *limpet.Node, name, words string) {
			t.Helper()
			dialled, accepted := linkNamed(t, n, name, a, "a.example")
			wantCode(t, what+", dialling", dialled, link.NotAuthorised)
			wantCode(t, what+", accepting", accepted, link.NotAuthorised)
			if dialled == nil || !strings.Contains(dialled.Error(), words) {
				t.Errorf("%s is told as %v", what, dialled)
			}
		}
		refused("a stranger", node(t, membus.New(), 2), "x.example", "network 2 may not join by a link with x.example: no rule")
		refused("a stolen network id", node(t, membus.New(), 4), "b.example", "network 4 may not join by a link with b.example")
		if n := len(a.Peerings()); n != 0 {
			t.Errorf("%d peerings are left of those who were refused", n)
		}

		// The right one, and what comes to lie behind it: 3 may, 5 may not.
		b, c, e := node(t, membus.New(), 2), node(t, membus.New(), 3), node(t, membus.New(), 5)
		for _, x := range []struct {
			from, to *limpet.Node
		}{{b, a}, {c, b}} {
			if d, _ := linkNamed(t, x.from, "b.example", x.to, "to"); d != nil {
				t.Fatal(d)
			}
		}
		if up := a.Peerings()[0].Status(); up.State != limpet.Up || len(up.Behind) != 1 {
			t.Fatalf("the link is %v with %v behind", up.State, up.Behind)
		}
		if d, _ := linkNamed(t, e, "e.example", b, "b"); d != nil {
			t.Fatal(d)
		}
		st := a.Peerings()[0].Status()
		wantCode(t, "a network behind the peer that may not be there", st.LastErr, link.NotAuthorised)
		if st.State != limpet.Connecting || !strings.Contains(st.LastErr.Error(), "network 5") {
			t.Errorf("the link is %v after %v", st.State, st.LastErr)
		}
		refused("a peer with such a network behind it", b, "b.example", "network 5 may not join")

		// The side that dials judges too.
		f := node(t, membus.New(), 7)
		dialled, accepted := linkNamed(t, a, "a.example", f, "d.example")
		wantCode(t, "whom we dial, dialling", dialled, link.NotAuthorised)
		wantCode(t, "whom we dial, accepting", accepted, link.NotAuthorised)
	})
}

// What is judged when a link begins is judged again when the rules change.
func TestALinkThatMayNotBeAnyMoreIsEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c := node(t, membus.New(), 1), node(t, membus.New(), 2), node(t, membus.New(), 3)
		for _, n := range []*limpet.Node{b, c} {
			if d, _ := linkNamed(t, n, "x.example", a, "a"); d != nil {
				t.Fatal(d)
			}
		}
		a.SetPolicies(policies(t, rules.Rule{Allow: []string{"join"}, Networks: []string{"3"}}))
		pass(5 * time.Second)
		for _, p := range a.Peerings() {
			st := p.Status()
			want := map[uint32]limpet.State{2: limpet.Connecting, 3: limpet.Up}[st.Peer.NetworkID]
			if st.State != want || st.Epochs != 1 {
				t.Errorf("network %d: %v, %d epochs, want %v", st.Peer.NetworkID, st.State, st.Epochs, want)
			}
		}
		a.SetPolicies(nil)
		if d, _ := linkNamed(t, b, "x.example", a, "a"); d != nil {
			t.Errorf("without rules: %v", d)
		}
	})
}
