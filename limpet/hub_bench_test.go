package limpet_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
)

// A star is a hub and peers that have dialled it, all in this process.
type star struct {
	hub   *membus.Bus
	node  *limpet.Node
	peers []*membus.Bus
}

// newStar links the peers one after the other, each when the one before is up. The hub's
// node sees its bus as seen gives it.
func newStar(t testing.TB, peers int, seen func(*membus.Bus) kbusdev.Bus) *star {
	t.Helper()
	s := &star{hub: membus.New(membus.WithMaxMessages(10000))}
	s.node = node(t, seen(s.hub), 1000)
	for i := range peers {
		bus := membus.New(membus.WithMaxMessages(10000))
		from := node(t, bus, uint32(2000+i))
		p := from.NewDialled("hub", limpet.Config{}, false)
		layFrom(t, p, s.node, limpet.Config{}, nil)
		for changed := from.Changed(); p.State() != limpet.Up; changed = from.Changed() {
			<-changed
		}
		s.peers = append(s.peers, bus)
	}
	return s
}

// settle waits until the hub knows that only the first peer wants name.
func (s *star) settle(b *testing.B, name string, narrow bool) {
	b.Helper()
	for {
		wanted := 0
		for _, p := range s.node.Peerings() {
			if p.Wants(name) {
				wanted++
			}
		}
		bindings, err := s.hub.Bindings()
		if err != nil {
			b.Fatal(err)
		}
		wide := slices.ContainsFunc(bindings, func(x kbusdev.Binding) bool { return x.Name == "$.*" })
		if wanted == 1 && wide != narrow {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// What an announcement on a hub costs that one of its peers listens to, and one that
// nobody does, whatever the number of peers: narrow, where the limpets listen to what
// their peers want, and plain, where they listen to everything.
//
//	go test ./limpet -run NONE -bench HubAnnouncement
func BenchmarkHubAnnouncement(b *testing.B) {
	kinds := map[bool]string{true: "narrow", false: "plain"}
	for _, peers := range []int{1, 10, 100, 300} {
		for _, narrow := range []bool{true, false} {
			seen := func(m *membus.Bus) kbusdev.Bus { return m }
			if !narrow {
				seen = func(m *membus.Bus) kbusdev.Bus { return plainBus{m} }
			}
			b.Run(fmt.Sprintf("%s/peers=%d", kinds[narrow], peers), func(b *testing.B) {
				s := newStar(b, peers, seen)
				listener, talker := open(b, s.peers[0]), open(b, s.hub)
				bind(b, listener, "$.Heard", kbusdev.Listener)
				s.settle(b, "$.Heard", narrow)
				b.Run("heard", func(b *testing.B) { announce(b, talker, listener, "$.Heard") })
				b.Run("unheard", func(b *testing.B) { announce(b, talker, nil, "$.Unheard") })
			})
		}
	}
}

// announce sends announcements, a hundred before the listener, if there is one, has heard
// them.
func announce(b *testing.B, talker, listener kbusdev.Ksock, name string) {
	b.Helper()
	m := kbusdev.Message{Name: name, Data: make([]byte, 64)}
	got := make([]*kbusdev.Message, 64)
	for left := b.N; left > 0; {
		n := min(left, 100)
		for range n {
			if _, err := talker.Send(b.Context(), &m); err != nil {
				b.Fatal(err)
			}
		}
		for left -= n; n > 0 && listener != nil; {
			heard, err := listener.RecvBatch(b.Context(), got)
			if err != nil {
				b.Fatal(err)
			}
			n -= heard
		}
	}
}

// How long it takes until the last of many peers is up, each of which dials when the one
// before is up, and every one knows of all others.
//
//	go test ./limpet -run NONE -bench HubStart -benchtime 1x
func BenchmarkHubStart(b *testing.B) {
	for _, peers := range []int{30, 100, 300} {
		b.Run(fmt.Sprintf("peers=%d", peers), func(b *testing.B) {
			for range b.N {
				newStar(b, peers, func(m *membus.Bus) kbusdev.Bus { return m })
			}
		})
	}
}
