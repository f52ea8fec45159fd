package limpet_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A conversation is what programs on two linked buses say to each other, both ways:
// announcements, some of them URGENT, and requests, some of them stateful.
type conversation struct {
	t         *testing.T
	nodes     [2]*limpet.Node
	buses     [2]*membus.Bus
	speakers  [2]kbusdev.Ksock // send and ask
	listeners [2]kbusdev.Ksock
	asked     [2]map[kbusdev.MsgID]string
	said      [2][]string // plain announcements, in order
	urgent    [2]map[string]bool
	last      [2]*kbusdev.Message // the latest reply, for stateful requests

	mu  sync.Mutex
	ran map[string]int // what the repliers have been asked
}

// converse prepares a conversation; its repliers answer until the test ends.
func converse(t *testing.T) *conversation {
	t.Helper()
	c := &conversation{t: t, ran: make(map[string]int)}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	t.Cleanup(func() { cancel(); serving.Wait() })
	for i := range 2 {
		c.buses[i] = membus.New(membus.WithMaxMessages(5000))
		c.nodes[i] = node(t, c.buses[i], uint32(i+1))
		c.speakers[i], c.listeners[i] = open(t, c.buses[i]), open(t, c.buses[i])
		c.asked[i], c.urgent[i] = make(map[kbusdev.MsgID]string), make(map[string]bool)
		bind(t, c.listeners[i], "$.News.*", kbusdev.Listener)
		replier := open(t, c.buses[i])
		bind(t, replier, fmt.Sprintf("$.Ask.%d", i), kbusdev.Replier)
		serving.Go(func() { c.reply(ctx, replier) })
	}
	return c
}

func (c *conversation) reply(ctx context.Context, k kbusdev.Ksock) {
	for {
		q, err := k.Recv(ctx)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.ran[string(q.Data)]++
		c.mu.Unlock()
		if _, err := k.Send(ctx, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: append([]byte("re: "), q.Data...)}); err != nil {
			return
		}
	}
}

// talk takes some steps, with a pause after each.
func (c *conversation) talk(steps int, pause func()) {
	c.t.Helper()
	for step := range steps {
		for i := range 2 {
			data := fmt.Sprintf("news %d of %d", len(c.said[i]), i+1)
			sendTo(c.t, c.speakers[i], &kbusdev.Message{Name: "$.News.Plain", Data: []byte(data)})
			c.said[i] = append(c.said[i], data)
			if step%3 == 0 {
				data := fmt.Sprintf("alarm %d of %d", len(c.urgent[i]), i+1)
				sendTo(c.t, c.speakers[i], &kbusdev.Message{Name: "$.News.Alarm", Data: []byte(data), Flags: kbusdev.Urgent})
				c.urgent[i][data] = true
			}
			if step%2 == 0 {
				q := &kbusdev.Message{Name: fmt.Sprintf("$.Ask.%d", 1-i), Flags: kbusdev.WantReply, Data: fmt.Appendf(nil, "ask %d of %d", len(c.asked[i]), i+1)}
				if last := c.last[i]; last != nil && step%4 == 0 {
					q.To, q.FinalTo = last.From, last.OrigFrom
				}
				c.asked[i][sendTo(c.t, c.speakers[i], q)] = string(q.Data)
			}
		}
		pause()
		c.hear()
	}
}

// hear reads what has come to those who ask.
func (c *conversation) hear() {
	c.t.Helper()
	for i, k := range c.speakers {
		for _, m := range queuedOn(c.t, k) {
			data, open := c.asked[i][m.InReplyTo]
			if !open || string(m.Data) != "re: "+data {
				c.t.Errorf("network %d: %q is answered %s %q", i+1, data, m.Name, m.Data)
			}
			delete(c.asked[i], m.InReplyTo)
			c.ran[data]-- // each must come to 0
			c.last[i] = m
		}
	}
}

// check checks that nothing was lost, doubled, reordered or answered by another.
func (c *conversation) check() {
	c.t.Helper()
	c.hear()
	for data, n := range c.ran {
		if n != 0 {
			c.t.Errorf("%q was carried out %d times more than it was answered", data, n)
		}
	}
	for i := range 2 {
		if len(c.asked[i]) > 0 {
			c.t.Errorf("network %d waits for answers to %v", i+1, c.asked[i])
		}
		var heard [2][]string
		alarms := [2]int{}
		for _, m := range queuedOn(c.t, c.listeners[i]) {
			data := string(m.Data)
			from := 0
			if strings.HasSuffix(data, "of 2") {
				from = 1
			}
			if m.Name == "$.News.Alarm" {
				if !c.urgent[from][data] {
					c.t.Errorf("network %d heard %q", i+1, data)
				}
				alarms[from]++
				continue
			}
			heard[from] = append(heard[from], data)
		}
		for from := range 2 {
			if strings.Join(heard[from], ",") != strings.Join(c.said[from], ",") || alarms[from] != len(c.urgent[from]) {
				c.t.Errorf("network %d heard of %d:\n%d alarms, %q\nwant %d alarms, %q", i+1, from+1, alarms[from], heard[from], len(c.urgent[from]), c.said[from])
			}
		}
	}
	lawful(c.t, true, c.nodes[:]...)
}

// A stream that is cut at any frame, on its way or as it arrives, is resumed: nothing
// is lost, doubled or reordered, and requests are answered by their replier.
func TestResumeAfterACutAtEveryFrame(t *testing.T) {
	for _, arrives := range []bool{false, true} {
		frames := int64(1 << 20)
		for at := int64(1); at < frames; at++ {
			t.Run(fmt.Sprintf("arrives=%t/frame=%d", arrives, at), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					c := converse(t)
					var count atomic.Int64
					var over atomic.Bool
					hook := func(w *wires) func() {
						return func() {
							if !over.Load() && count.Add(1) == at {
								w.cut()
							}
						}
					}
					from := c.nodes[0].NewDialled("dial 2", limpet.Config{}, false)
					layFrom(t, from, c.nodes[1], limpet.Config{}, func(w *wires) {
						if arrives {
							w.onRecv = hook(w)
						} else {
							w.onSend = hook(w)
						}
					})
					pass(time.Second) // the link is up, perhaps after the cut
					c.talk(12, synctest.Wait)
					over.Store(true)
					pass(2 * time.Second)
					c.check()
					st := from.Status()
					if st.Epochs != 1 || st.Resumed > 1 || st.State != limpet.Up {
						t.Errorf("%d epochs, %d resumed, %s", st.Epochs, st.Resumed, st.State)
					}
					if count.Load() < at {
						frames = at // there was no cut: the conversation is over
					}
				})
			})
		}
		if frames < 30 {
			t.Errorf("the conversation had %d frames only", frames)
		}
	}
}

// The same with one cut after the other, every so many frames.
func TestResumeAgainAndAgain(t *testing.T) {
	for _, every := range []int64{7, 8, 9, 11, 14, 20, 33} {
		t.Run(fmt.Sprint(every), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := converse(t)
				from := c.nodes[0].NewDialled("dial 2", limpet.Config{}, false)
				var cutting atomic.Bool
				layFrom(t, from, c.nodes[1], limpet.Config{}, func(w *wires) {
					var count atomic.Int64
					w.onSend = func() {
						if cutting.Load() && count.Add(1) == every {
							w.cut()
						}
					}
				})
				pass(time.Second)
				cutting.Store(true)
				c.talk(60, func() { pass(20 * time.Millisecond) })
				synctest.Wait()
				cutting.Store(false)
				pass(2 * time.Second)
				c.check()
				if st := from.Status(); st.Epochs != 1 || st.Resumed < 3 {
					t.Errorf("%d epochs, %d resumed", st.Epochs, st.Resumed)
				}
			})
		})
	}
}

// A stream that the peer dials while the old one still seems to be up takes its place:
// the epoch is resumed, and counts as such.
func TestStaleStreamIsReplacedAndResumed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := membus.New()
		p := dialPuppet(t, bus, limpet.Config{})
		asker := open(t, bus)
		p.bind(true, "$.Far")
		request := ask(t, asker, "$.Far")
		p.listen(false)
		old, oldEnded := p.stream, p.ended
		p.redial()
		if err := <-oldEnded; err == nil || !strings.Contains(err.Error(), "dialled again") {
			t.Errorf("the old stream ended with %v", err)
		}
		old.Close()
		if q := p.named("$.Far"); len(q) != 1 {
			t.Fatalf("the puppet was asked %d times", len(q))
		} else {
			p.bring(kbusdev.Message{Name: "$.Far", To: q[0].From, InReplyTo: q[0].ID, ID: kbusdev.MsgID{Network: 2, Serial: 9}, Data: []byte("late but true")})
		}
		if m := received(t, asker); m.InReplyTo != request || string(m.Data) != "late but true" {
			t.Errorf("answered with %+v", m)
		}
		if st := p.status(); st.Epochs != 1 || st.Resumed != 1 || st.State != limpet.Up {
			t.Errorf("%d epochs, %d resumed, %s", st.Epochs, st.Resumed, st.State)
		}
	})
}

// A peer is told what has changed behind a hub and no more, if it knows that there is such
// a thing; another is told all each time.
func TestOnlyChangesOfTheTopologyAreTold(t *testing.T) {
	for _, knows := range []bool{true, false} {
		t.Run(fmt.Sprintf("knows=%t", knows), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const peers = 20
				p := newPuppet(t, membus.New(), limpet.Config{}) // network 2, linked to 1
				if knows {
					p.greeting.Features = []string{"topology-changes"}
				}
				p.dial()
				networks, whole := 0, 0
				told := func() {
					t.Helper()
					pass(300 * time.Millisecond) // a hub tells of changes four times a second, at most
					p.listen(true)
					for _, f := range p.frames {
						if f, ok := f.(*link.Topology); ok {
							networks += len(f.Networks) + len(f.Removed)
							if !f.Amends {
								whole++
							}
						}
					}
					p.frames = nil
				}
				var last *cable
				for i := range peers {
					last = lay(t, node(t, membus.New(), uint32(10+i)), p.node, limpet.Config{Grace: -1})
					told()
				}
				last.pull()
				told()
				if knows && (networks != peers+1 || whole != 0) {
					t.Errorf("%d networks are told, %d times all", networks, whole)
				}
				if !knows && (networks < peers*peers/2 || whole != peers+1) {
					t.Errorf("%d networks are told, %d times all, to one that does not know of changes", networks, whole)
				}
			})
		})
	}
}

// A stream that is resumed tells what lies behind us now, not what did when the epoch
// began.
func TestResumedTopologyIsOfNow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var nodes []*limpet.Node
		for id := range uint32(3) {
			nodes = append(nodes, node(t, membus.New(), id+1))
		}
		first := lay(t, nodes[0], nodes[1], limpet.Config{})
		pass(time.Second)
		lay(t, nodes[1], nodes[2], limpet.Config{}) // the acceptor of the first link has told of it in a frame
		pass(time.Second)
		behind := func() (ids []uint32) {
			for _, n := range first.from.Status().Behind {
				ids = append(ids, n.ID)
			}
			return ids
		}
		if got := fmt.Sprint(behind()); got != "[3]" {
			t.Fatalf("behind the acceptor are %s", got)
		}
		first.cut()
		pass(time.Second)
		if st := first.from.Status(); st.Resumed != 1 || fmt.Sprint(behind()) != "[3]" {
			t.Errorf("resumed %d times, behind the acceptor are %v", st.Resumed, behind())
		}
	})
}
