package limpet_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// foretold returns what a node tells of a request.
func foretold(t *testing.T, n *limpet.Node, name string) *explain.Hop {
	t.Helper()
	return asked(t, n, limpet.Query{Message: kbusdev.Message{Name: name, Flags: kbusdev.WantReply}, Within: 5 * time.Second})
}

func asked(t *testing.T, n *limpet.Node, q limpet.Query) *explain.Hop {
	t.Helper()
	h, err := n.Explain(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A peer that does not say that it answers questions is not asked, and one that does but keeps
// silent, or answers nonsense, is waited for no longer than is said.
func TestAPeerThatCannotSayIsTheEndOfSight(t *testing.T) {
	for _, c := range []struct {
		name     string
		features []string
		answer   func(p *puppet, q *link.Question)
		want     explain.End
		took     time.Duration
	}{
		{name: "an old peer", want: explain.OldPeer},
		{name: "silent", features: []string{"explain"}, answer: func(*puppet, *link.Question) {}, want: explain.NoAnswer, took: 5 * time.Second},
		{name: "answers another question", features: []string{"explain"}, answer: func(p *puppet, q *link.Question) {
			p.send(&link.Answer{ID: q.ID + 1, Hop: &explain.Hop{Network: 2}})
		}, want: explain.NoAnswer, took: 5 * time.Second},
		{name: "answers twice", features: []string{"explain"}, answer: func(p *puppet, q *link.Question) {
			for range 2 {
				p.send(&link.Answer{ID: q.ID, Hop: &explain.Hop{Network: 2, Replier: &explain.Recipient{Ksock: 5}}})
			}
		}, want: explain.None},
		{name: "asked too often", features: []string{"explain"}, answer: func(p *puppet, q *link.Question) { p.send(&link.Answer{ID: q.ID}) }, want: explain.Busy},
		{name: "its stream breaks", features: []string{"explain"}, answer: func(p *puppet, _ *link.Question) { p.cut() }, want: explain.NoAnswer, took: 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPuppet(t, membus.New(), limpet.Config{})
				p.greeting.Features = c.features
				p.dial()
				p.bind(true, "$.Clock.Now")
				p.listen(true)
				p.frames = nil
				done := make(chan *explain.Hop, 1)
				began := time.Now()
				go func() { done <- foretold(t, p.node, "$.Clock.Now") }()
				p.listen(true)
				if c.answer != nil {
					q := onlyQuestion(t, p)
					if q.Message.Name != "$.Clock.Now" || q.Message.ID.Network != 1 || q.Within >= 5*time.Second || !q.Message.WantsUsToReply() {
						t.Errorf("asked is %+v", q)
					}
					c.answer(p, q)
				} else if len(p.frames) > 0 {
					t.Errorf("it is sent %T", p.frames[0])
				}
				h := <-done
				if len(h.Branches) != 1 || h.Branches[0].End != c.want || h.Branches[0].Network != 2 || !h.Branches[0].Request {
					t.Errorf("told is %+v", h.Branches)
				}
				if got := time.Since(began); got != c.took {
					t.Errorf("it took %v", got)
				}
				if want := (explain.Outcome{Unseen: c.want}); c.want != explain.None && h.Outcome() != want {
					t.Errorf("the outcome is %+v", h.Outcome())
				}
				if c.want == explain.None && h.Outcome().By != (kbusdev.Address{Network: 2, Local: 5}) {
					t.Errorf("the outcome is %+v", h.Outcome())
				}
			})
		})
	}
}

func onlyQuestion(t *testing.T, p *puppet) *link.Question {
	t.Helper()
	if len(p.frames) == 1 {
		if q, ok := p.frames[0].(*link.Question); ok {
			return q
		}
	}
	t.Fatalf("it is sent %v, not one question", p.frames)
	return nil
}

// answers returns what a peer is told of messages that it would bring.
func (p *puppet) answers(names ...string) (all []*explain.Hop) {
	p.t.Helper()
	for i, name := range names {
		p.frames = nil
		flags := kbusdev.WantReply | kbusdev.WantYouToReply
		if strings.HasPrefix(name, "!") {
			name, flags = name[1:], 0
		}
		p.send(&link.Question{Question: explain.Question{
			ID: uint64(100 + i), Hops: 4, Bytes: explain.MaxAnswer, Within: time.Second,
			Message: kbusdev.Message{Name: name, Flags: flags, ID: kbusdev.MsgID{Network: 2}, OrigFrom: kbusdev.Address{Network: 2}},
		}})
		p.listen(true)
		for _, f := range p.frames {
			if a, ok := f.(*link.Answer); ok && a.ID == uint64(100+i) {
				all = append(all, a.Hop)
			}
		}
	}
	if len(all) != len(names) {
		p.t.Fatalf("%d of %d questions are answered", len(all), len(names))
	}
	return all
}

// What the rules hide looks absent to who asks, and a peer that may not administer the daemon
// is told no more than what sending would tell it.
func TestAPeerIsToldWhatItCouldFindOut(t *testing.T) {
	story := func(t *testing.T, admin bool) {
		bus := membus.New()
		n := node(t, bus, 1)
		all := []rules.Rule{
			{Deny: []string{"request", "announce"}, Names: []string{"$.Secret.*"}},
			{Allow: []string{"join", "request", "announce", "listen", "reply"}},
		}
		if admin {
			all = append(all, rules.Rule{Allow: []string{"admin"}})
		}
		n.SetPolicies(policies(t, all...))
		p := newPuppetOf(t, n, limpet.Config{})
		p.greeting.Features = []string{"explain", "interest"}
		p.dial()
		k := open(t, bus)
		for _, name := range []string{"$.Secret.Clock", "$.Clock"} {
			if err := k.Bind(name, kbusdev.Replier); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"$.Secret.News", "$.News"} {
			if err := k.Bind(name, kbusdev.Listener); err != nil {
				t.Fatal(err)
			}
		}
		p.listen(true)
		got := p.answers("$.Clock", "$.Secret.Clock", "$.Nobody", "!$.News", "!$.Secret.News", "!$.Nothing")
		clock, secret, nobody, news, secretNews, nothing := got[0], got[1], got[2], got[3], got[4], got[5]
		if admin {
			if clock.Replier == nil || clock.Replier.Binding != "$.Clock" || clock.Rule == nil || clock.Rule.Rule != 2 {
				t.Errorf("an administrator is told %+v", clock)
			}
			if secret.Stop == nil || secret.Stop.Reason != "denied" || secret.Rule.Rule != 1 || len(news.Listeners) != 1 {
				t.Errorf("an administrator is told %+v and %+v", secret, news)
			}
			return
		}
		want := func(what string, h *explain.Hop, o explain.Outcome) {
			t.Helper()
			if h.Told == nil || *h.Told != o || h.Network != 1 || fmt.Sprint(explain.Hop{Network: 1, Told: h.Told}) != fmt.Sprint(*h) {
				t.Errorf("of %s it is told %+v, %+v", what, h, h.Told)
			}
		}
		const gone = "$.KBUS.RemoteError.EADDRNOTAVAIL"
		want("what is there", clock, explain.Outcome{By: kbusdev.Address{Network: 1, Local: k.ID()}})
		want("what is hidden", secret, explain.Outcome{Answer: gone})
		want("what is not there", nobody, explain.Outcome{Answer: gone})
		want("what is heard", news, explain.Outcome{Heard: true, Unseen: explain.Hidden})
		want("what it may not announce", secretNews, explain.Outcome{})
		want("what nobody hears", nothing, explain.Outcome{})
	}
	for _, admin := range []bool{true, false} {
		t.Run(fmt.Sprintf("admin=%t", admin), func(t *testing.T) { bubble(t, func(t *testing.T) { story(t, admin) }) })
	}
}

// Somebody who asks too often is told so, and nothing is looked into; the link stays. Messages
// that cannot be are no panic.
func TestAPeerThatAsksTooMuch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPuppet(t, membus.New(), limpet.Config{})
		p.greeting.Features = []string{"explain"}
		p.dial()
		p.listen(true)
		names := []string{"$.KBUS.ReplierBindEvent", "!$.KBUS.ReplierBindEvent", "", "x", "$.", "!$.A.*", "$." + strings.Repeat("x", 5000), "$.KBUS.UnbindEventsLost", "!$.\xff"}
		for range 100 {
			names = append(names, "$.A")
		}
		names[len(names)-1] = "$.B"
		looked := 0
		for _, name := range names {
			if strings.Contains(name, "\xff") {
				continue // protobuf takes no such name
			}
			if h := p.answers(name)[0]; h != nil {
				looked++
			}
		}
		if looked < 20 || looked > 70 {
			t.Errorf("%d questions at once are looked into", looked)
		}
		pass(10 * time.Second)
		if p.answers("$.A")[0] == nil {
			t.Error("later it is not looked into either")
		}
		if st := p.node.Peerings()[0].State(); st != limpet.Up {
			t.Errorf("the link is %v", st)
		}
	})
}

// Questions end with the context of who asks, with the link, and at the bounds.
func TestQuestionsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPuppet(t, membus.New(), limpet.Config{Grace: -1})
		p.greeting.Features = []string{"explain"}
		p.dial()
		p.bind(true, "$.A")
		p.listen(true)
		ctx, cancel := context.WithCancel(t.Context())
		q := limpet.Query{Message: kbusdev.Message{Name: "$.A", Flags: kbusdev.WantReply}, Within: time.Minute}
		done := make(chan error, 1)
		go func() {
			_, err := p.node.Explain(ctx, q)
			done <- err
		}()
		p.listen(true)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("who has given up gets %v", err)
		}
		ended := make(chan *explain.Hop, 1)
		go func() { ended <- asked(t, p.node, q) }()
		p.listen(true)
		p.cut() // and the epoch with it
		if h := <-ended; h.Branches[0].End != explain.NotLinked {
			t.Errorf("told is %+v", h.Branches[0])
		}
		pass(time.Second)
		if h := foretold(t, p.node, "$.A"); h.Stop == nil || h.Stop.Errno != "EADDRNOTAVAIL" || len(h.Branches) != 1 || h.Branches[0].End != explain.NotLinked || h.Branches[0].Why == "" {
			t.Errorf("told is %+v", h)
		}
		q.Link = "network 2"
		if _, err := p.node.Explain(t.Context(), q); !errors.Is(err, limpet.ErrNotUp) {
			t.Errorf("a link that is not up: %v", err)
		}
		q.Link = "nothing"
		if _, err := p.node.Explain(t.Context(), q); !errors.Is(err, limpet.ErrNoLink) {
			t.Errorf("a link that there is not: %v", err)
		}
	})
}

// Of a peer that takes nothing it is foretold what becomes of messages meanwhile.
func TestAStallIsForetold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(10000))
		p := dialPuppet(t, bus, limpet.Config{WindowMessages: 100, MaxMessages: 1000})
		asker := open(t, bus)
		p.bind(true, "$.Far")
		if h := foretold(t, p.node, "$.Far"); h.Outcome().Unseen != explain.OldPeer {
			t.Errorf("before: %+v", h.Outcome())
		}
		for range 300 {
			sendTo(t, asker, &kbusdev.Message{Name: "$.News"})
		}
		pass(6 * time.Second)
		h := foretold(t, p.node, "$.Far")
		request := ask(t, asker, "$.Far")
		m := received(t, asker)
		if stop := h.Branches[0].Stop; m.InReplyTo != request || stop == nil || stop.Reason != "stalled" || stop.Answer != m.Name || h.Outcome().Answer != m.Name {
			t.Errorf("foretold was %+v, and it is %s", h.Branches[0], m.Name)
		}
	})
}
