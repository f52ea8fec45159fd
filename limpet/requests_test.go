package limpet_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
)

var progressWords = map[limpet.Progress]string{
	limpet.Unknown: "unknown", limpet.Queued: "queued", limpet.Read: "read", limpet.Taken: "taken", limpet.Handed: "handed", limpet.Acknowledged: "acknowledged",
}

// listed returns the open requests of a node, in short.
func listed(n *limpet.Node, which limpet.WhichRequests) string {
	which.Most = max(which.Most, 100)
	some, more, open := n.OpenRequests(which)
	var all []string
	for _, r := range some {
		all = append(all, fmt.Sprintf("%s %s%s to %s for %v", r.Name, r.AskerLink, progressWords[r.Progress], r.ReplierLink, time.Since(r.Since)))
	}
	if more || open != len(some) {
		all = append(all, fmt.Sprint(more, open))
	}
	return strings.Join(all, "; ")
}

// A request is listed from when it is sent to its reply, with how far it has come, on a bus
// that tells of its open requests, and by the links alone on one that does not.
func TestOpenRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, tells := range []bool{true, false} {
			inner := membus.New()
			var bus kbusdev.Bus = inner
			if !tells {
				bus = struct{ kbusdev.Bus }{inner}
			}
			p := dialPuppet(t, bus, limpet.Config{RequestHold: time.Hour, Grace: time.Hour})
			p.bind(true, "$.Far.*")
			p.listen(true)
			asker, replier := open(t, bus), open(t, bus)
			if err := replier.Bind("$.Near", kbusdev.Replier); err != nil {
				t.Fatal(err)
			}
			want := func(which limpet.WhichRequests, want, onDevice string) {
				t.Helper()
				synctest.Wait()
				if !tells {
					want = onDevice
				}
				if got := listed(p.node, which); got != want {
					t.Errorf("tells=%v: listed are %q, want %q", tells, got, want)
				}
			}
			all := limpet.WhichRequests{}
			want(all, "", "")
			ask(t, asker, "$.Far.A")
			want(all, "$.Far.A handed to network 2 for 0s", "$.Far.A handed to network 2 for 0s")
			p.listen(true)
			pass(time.Second)
			want(all, "$.Far.A acknowledged to network 2 for 1s", "$.Far.A acknowledged to network 2 for 1s")
			ask(t, asker, "$.Near")
			p.bring(kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: 70}, Name: "$.Near", From: 8, OrigFrom: kbusdev.Address{Network: 2, Local: 8}, Flags: kbusdev.WantReply | kbusdev.WantYouToReply})
			const far = "$.Far.A acknowledged to network 2 for 1s"
			want(all, far+"; $.Near queued to  for 0s; $.Near network 2queued to  for 0s", far+"; $.Near network 2unknown to  for 0s")
			recvFrom(t, replier)
			q := recvFrom(t, replier)
			p.cut()
			pass(time.Second)
			ask(t, asker, "$.Far.B")
			want(limpet.WhichRequests{Name: "$.Near"}, "$.Near read to  for 1s; $.Near network 2read to  for 1s", "$.Near network 2unknown to  for 1s")
			want(limpet.WhichRequests{Link: "network 2"}, "$.Far.A acknowledged to network 2 for 2s; $.Near network 2read to  for 1s; $.Far.B taken to network 2 for 0s", "$.Far.A acknowledged to network 2 for 2s; $.Near network 2unknown to  for 1s; $.Far.B taken to network 2 for 0s")
			want(limpet.WhichRequests{Before: time.Now().Add(-time.Second), Name: "$.Far.*"}, "$.Far.A acknowledged to network 2 for 2s", "$.Far.A acknowledged to network 2 for 2s")
			sendTo(t, replier, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID})
			if err := replier.Close(); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
			want(all, "$.Far.A acknowledged to network 2 for 3s; $.Far.B taken to network 2 for 1s", "$.Far.A acknowledged to network 2 for 3s; $.Far.B taken to network 2 for 1s")
		}
	})
}

func recvFrom(t *testing.T, k kbusdev.Ksock) *kbusdev.Message {
	t.Helper()
	m, err := k.Recv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Page by page everything is listed once, oldest first, as a plain sort has it.
func TestOpenRequestsByPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(1 << 14))
		n := node(t, bus, 1)
		replier := open(t, bus)
		if err := replier.Bind("$.Near", kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
		var askers []kbusdev.Ksock
		for range 7 {
			askers = append(askers, open(t, bus))
		}
		rng := rand.New(rand.NewPCG(1, 1))
		var want []kbusdev.MsgID
		for range 1000 {
			if rng.IntN(3) == 0 {
				pass(time.Millisecond)
			}
			want = append(want, ask(t, askers[rng.IntN(len(askers))], "$.Near"))
		}
		for range 500 {
			recvFrom(t, replier)
		}
		for _, most := range []int{1, 7, 100, 999, 1000, 1001} {
			var got []kbusdev.MsgID
			which := limpet.WhichRequests{Most: most}
			for {
				some, more, open := n.OpenRequests(which)
				if open != len(want) || len(some) > most {
					t.Fatalf("most=%d: %d of %d", most, len(some), open)
				}
				for _, r := range some {
					got = append(got, r.ID)
				}
				if !more {
					break
				}
				which.After = &some[len(some)-1]
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: %d requests, or another order", most, len(got))
			}
		}
	})
}

// From when somebody asks until a minute later it is counted how long replies take, of those
// names that take most.
func TestSlowRepliers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{})
		p.bind(true, "$.Far.*")
		p.listen(true)
		asker, replier := open(t, bus), open(t, bus)
		if err := replier.Bind("$.Near.*", kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
		near := func(name string, took time.Duration) {
			ask(t, asker, name)
			q := recvFrom(t, replier)
			pass(took)
			sendTo(t, replier, &kbusdev.Message{Name: "$.Answer", To: q.From, InReplyTo: q.ID})
			recvFrom(t, asker)
		}
		near("$.Near.Early", time.Second) // nobody has asked
		if all, since := p.node.SlowRepliers(10); len(all) != 0 || !since.Equal(time.Now()) {
			t.Errorf("%v since %v", all, since)
		}
		near("$.Near.A", time.Second)
		near("$.Near.A", 3*time.Second)
		ask(t, asker, "$.Far.B")
		p.listen(true)
		p.live(2*time.Second, true)
		p.reply("$.Far.B")
		recvFrom(t, asker)
		say := func() (words []string) {
			all, _ := p.node.SlowRepliers(3)
			for _, r := range all {
				words = append(words, fmt.Sprintf("%s by %s ksock %d in %v, at most %v, missing %v", r.Name, r.Link, r.Ksock, r.Took.Sum, r.Max, r.Missing))
			}
			return words
		}
		link := p.status().Ksock
		want := []string{
			fmt.Sprintf("$.Near.A by  ksock %d in 4s, at most 3s, missing 0s", replier.ID()),
			fmt.Sprintf("$.Far.B by network 2 ksock %d in 2s, at most 2s, missing 0s", link),
		}
		if got := say(); !slices.Equal(got, want) {
			t.Errorf("slow are %q, want %q", got, want)
		}
		for i := range 3 * limpet.SlowNames { // names without end take no memory, and no place of those that matter
			near(fmt.Sprintf("$.Near.N%d", i), time.Millisecond)
		}
		if got := say(); !slices.Equal(got[:2], want) {
			t.Errorf("slow are %q, want %q", got, want)
		}
		if all, _ := p.node.SlowRepliers(1000); len(all) != limpet.SlowNames {
			t.Errorf("%d names have their place", len(all))
		}
		near("$.Near.Late", 50*time.Second)
		if got, want := say()[0], "$.Near.Late by "; !strings.HasPrefix(got, want) {
			t.Errorf("the slowest is %q, want %q", got, want)
		}
		pass(2 * time.Minute)
		if all, since := p.node.SlowRepliers(10); len(all) != 0 || !since.Equal(time.Now()) {
			t.Errorf("two minutes later: %v since %v", all, since)
		}
	})
}

// The listing of many, which goes on beside traffic: no lock is held for long.
func BenchmarkOpenRequests(b *testing.B) {
	bus := membus.New(membus.WithMaxMessages(1 << 16))
	n := node(b, bus, 1)
	asker, replier := open(b, bus), open(b, bus)
	if err := replier.Bind("$.Near", kbusdev.Replier); err != nil {
		b.Fatal(err)
	}
	for range 30_000 {
		if _, err := asker.Send(b.Context(), &kbusdev.Message{Name: "$.Near", Flags: kbusdev.WantReply}); err != nil {
			b.Fatal(err)
		}
		if _, err := replier.Recv(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if some, _, open := n.OpenRequests(limpet.WhichRequests{Most: 100}); len(some) != 100 || open != 30_000 {
			b.Fatal(len(some), open)
		}
	}
}
