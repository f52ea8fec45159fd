package limpet_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A chain of linked buses, with network ids from 1.
type chain struct {
	t      *testing.T
	buses  []*membus.Bus
	nodes  []*limpet.Node
	cables []*cable
}

func newChain(t *testing.T, n int, cfg limpet.Config) *chain {
	t.Helper()
	return newChainOn(t, n, cfg, func(b *membus.Bus) kbusdev.Bus { return b })
}

// newChainOn makes a chain of nodes that see their buses as seen gives them.
func newChainOn(t *testing.T, n int, cfg limpet.Config, seen func(*membus.Bus) kbusdev.Bus) *chain {
	t.Helper()
	c := &chain{t: t}
	for i := range n {
		c.buses = append(c.buses, membus.New(membus.WithMaxMessages(10000)))
		c.nodes = append(c.nodes, node(t, seen(c.buses[i]), uint32(i+1)))
	}
	for i := range n - 1 {
		c.cables = append(c.cables, lay(t, c.nodes[i], c.nodes[i+1], cfg))
	}
	pass(time.Second)
	return c
}

// A plainBus has Ksocks with what every bus has, so that limpets listen to everything.
type plainBus struct{ *membus.Bus }

func (b plainBus) Open(mode kbusdev.Mode) (kbusdev.Ksock, error) {
	k, err := b.Bus.Open(mode)
	return struct{ kbusdev.Ksock }{k}, err
}

// onBoth runs a test on chains of buses on which limpets listen to what is wanted only,
// and of such on which they listen to everything.
func onBoth(t *testing.T, test func(t *testing.T, c *chain, narrow bool), n int) {
	t.Helper()
	for name, seen := range map[string]func(*membus.Bus) kbusdev.Bus{
		"narrow": func(b *membus.Bus) kbusdev.Bus { return b },
		"plain":  func(b *membus.Bus) kbusdev.Bus { return plainBus{b} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { test(t, newChainOn(t, n, limpet.Config{}, seen), name == "narrow") })
		})
	}
}

// unlessNarrow returns n, and 0 if a limpet does not even read what nobody wants.
func unlessNarrow(narrow bool, n uint64) uint64 {
	if narrow {
		return 0
	}
	return n
}

// sent returns how many messages the link from one bus to the next has given to its
// stream, and how many it has kept back because nobody wants them.
func (c *chain) sent(i int) (n, unwanted uint64) {
	c.t.Helper()
	counts := c.cables[i].from.Status().Counts
	return counts.FromBusEnded["delivered"], counts.FromBusEnded["unwanted"]
}

// say sends an announcement on the first bus, and waits until it is where it can get.
func (c *chain) say(name string) {
	c.t.Helper()
	k := open(c.t, c.buses[0])
	sendTo(c.t, k, &kbusdev.Message{Name: name})
	synctest.Wait()
	if err := k.Close(); err != nil {
		c.t.Fatal(err)
	}
	pass(10 * time.Millisecond) // the acknowledgement
}

// Announcements cross only where somebody behind wants them: a listener at the far end
// makes them cross within 100 ms, and they stop when it has gone.
func TestInterestAlongAChain(t *testing.T) {
	onBoth(t, func(t *testing.T, c *chain, narrow bool) {
		c.say("$.News.A")
		for i := range 2 {
			if n, unwanted := c.sent(i); n != 0 || unwanted != unlessNarrow(narrow, uint64(1-i)) {
				t.Errorf("link %d: %d sent, %d unwanted, with no listener at all", i, n, unwanted)
			}
		}
		if drops := c.cables[0].from.Drops(); len(drops) != 0 {
			t.Errorf("what nobody wants is shown as lost: %v", drops)
		}
		far, middle := open(t, c.buses[2]), open(t, c.buses[1])
		start := time.Now()
		bind(t, far, "$.News.*", kbusdev.Listener)
		synctest.Wait()
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("it took %v", d)
		}
		c.say("$.News.A")
		c.say("$.Other")
		if n := len(queuedOn(t, far)); n != 1 {
			t.Errorf("the far listener hears %d", n)
		}
		if n, unwanted := c.sent(0); n != 1 || unwanted != unlessNarrow(narrow, 2) {
			t.Errorf("link 0: %d sent, %d unwanted", n, unwanted)
		}
		// A second one for the same name, in the middle, and the far one goes.
		bind(t, middle, "$.News.*", kbusdev.Listener)
		if err := far.Unbind("$.News.*", kbusdev.Listener); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.say("$.News.A")
		n0, _ := c.sent(0)
		n1, _ := c.sent(1)
		if n0 != 2 || n1 != 1 || len(queuedOn(t, middle)) != 1 || len(queuedOn(t, far)) != 0 {
			t.Errorf("with a listener in the middle alone: %d and %d sent", n0, n1)
		}
		if err := middle.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.say("$.News.A")
		if n, _ := c.sent(0); n != 2 {
			t.Errorf("%d sent after the last listener has gone", n)
		}
		lawful(t, true, c.nodes...)
	}, 3)
}

// Whoever binds a name twice, or by two Ksocks, wants it until the last one has gone; and
// a wildcard until it has gone, whatever else matches.
func TestInterestIsCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newChain(t, 2, limpet.Config{})
		first, other := open(t, c.buses[1]), open(t, c.buses[1])
		wanted := func(want bool, when string) {
			t.Helper()
			synctest.Wait()
			before, _ := c.sent(0)
			c.say("$.News.A")
			if n, _ := c.sent(0); (n > before) != want {
				t.Errorf("%s: %d sent", when, n-before)
			}
		}
		unbind := func(k kbusdev.Ksock, name string) {
			t.Helper()
			if err := k.Unbind(name, kbusdev.Listener); err != nil {
				t.Fatal(err)
			}
		}
		bind(t, first, "$.News.A", kbusdev.Listener)
		bind(t, first, "$.News.A", kbusdev.Listener)
		bind(t, other, "$.News.A", kbusdev.Listener)
		bind(t, other, "$.News.%", kbusdev.Listener)
		wanted(true, "four bindings")
		unbind(first, "$.News.A")
		unbind(other, "$.News.A")
		wanted(true, "two left")
		unbind(first, "$.News.A")
		wanted(true, "the wildcard alone")
		unbind(other, "$.News.%")
		wanted(false, "none left")
		// A replier is no listener.
		bind(t, first, "$.News.A", kbusdev.Replier)
		wanted(false, "a replier")
	})
}

// AllInterest sends everything, wanted or not.
func TestAllInterest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newChain(t, 2, limpet.Config{AllInterest: true})
		for range 5 {
			c.say("$.News")
		}
		if n, unwanted := c.sent(0); n != 5 || unwanted != 0 {
			t.Errorf("%d sent, %d unwanted", n, unwanted)
		}
	})
}

// Copies of a request for its listeners cross where they are wanted, not flagged for a
// second reply; the request itself crosses to its replier, wanted or not.
func TestCopiesOfRequestsCrossAsWanted(t *testing.T) {
	onBoth(t, func(t *testing.T, c *chain, narrow bool) {
		asker, near := open(t, c.buses[0]), open(t, c.buses[0])
		bind(t, near, "$.Near", kbusdev.Replier)
		synctest.Wait()
		ask(t, asker, "$.Near")
		pass(10 * time.Millisecond)
		if n, unwanted := c.sent(0); n != 0 || unwanted != unlessNarrow(narrow, 1) {
			t.Errorf("%d copies sent, %d unwanted", n, unwanted)
		}
		listener := open(t, c.buses[1])
		bind(t, listener, "$.Near", kbusdev.Listener)
		synctest.Wait()
		ask(t, asker, "$.Near")
		pass(10 * time.Millisecond)
		if msgs := queuedOn(t, listener); len(msgs) != 1 || msgs[0].WantsUsToReply() || msgs[0].IsRequest() {
			t.Errorf("the listener hears %+v", msgs)
		}
		far := open(t, c.buses[1])
		bind(t, far, "$.Far", kbusdev.Replier)
		synctest.Wait()
		ask(t, asker, "$.Far")
		pass(10 * time.Millisecond)
		if msgs := queuedOn(t, far); len(msgs) != 1 || !msgs[0].WantsUsToReply() {
			t.Errorf("the replier gets %+v", msgs)
		}
	}, 2)
}

// What is wanted is right again after a stream has broken, and after either side was
// started again, whatever was bound and unbound meanwhile.
func TestInterestAfterABreak(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%t", restart), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newChain(t, 3, limpet.Config{Grace: 5 * time.Second})
				stays, goes, comes := open(t, c.buses[2]), open(t, c.buses[2]), open(t, c.buses[2])
				bind(t, stays, "$.Stays", kbusdev.Listener)
				bind(t, goes, "$.Goes", kbusdev.Listener)
				synctest.Wait()
				c.cables[1].pull()
				if err := goes.Unbind("$.Goes", kbusdev.Listener); err != nil {
					t.Fatal(err)
				}
				bind(t, comes, "$.Comes", kbusdev.Listener)
				if restart {
					pass(10 * time.Second) // the grace is over
					c.say("$.Stays")
					if n, _ := c.sent(0); n != 0 {
						t.Errorf("%d sent for a link that is gone", n)
					}
				}
				c.cables[1].plug(nil)
				pass(time.Second)
				before, _ := c.sent(0)
				c.say("$.Stays")
				c.say("$.Goes")
				c.say("$.Comes")
				after, _ := c.sent(0)
				if after-before != 2 {
					t.Errorf("%d of 2 are sent", after-before)
				}
				if len(queuedOn(t, stays)) != 1 || len(queuedOn(t, comes)) != 1 || len(queuedOn(t, goes)) != 0 {
					t.Error("the listeners do not hear what they listen to")
				}
				lawful(t, true, c.nodes...)
			})
		})
	}
}

// While a link is down for less than the grace, what its peer wants is kept for it.
func TestInterestIsKeptDuringTheGrace(t *testing.T) {
	onBoth(t, func(t *testing.T, c *chain, narrow bool) {
		listener := open(t, c.buses[1])
		bind(t, listener, "$.News", kbusdev.Listener)
		synctest.Wait()
		c.cables[0].pull()
		pass(time.Second)
		c.say("$.News")
		c.say("$.Other")
		c.cables[0].plug(nil)
		pass(time.Second)
		if n := len(queuedOn(t, listener)); n != 1 {
			t.Errorf("%d are heard", n)
		}
		if n, unwanted := c.sent(0); n != 1 || unwanted != unlessNarrow(narrow, 1) {
			t.Errorf("%d sent, %d unwanted", n, unwanted)
		}
	}, 2)
}

// A peer that tells nonsense of what it wants is told so, and its link ends.
func TestBogusInterest(t *testing.T) {
	dial := func(t *testing.T) *puppet {
		p := newPuppet(t, membus.New(), limpet.Config{})
		p.greeting.Features = []string{"interest"}
		p.dial()
		return p
	}
	refused := func(t *testing.T, p *puppet) {
		t.Helper()
		p.listen(false)
		p.stream.Close()
		wantCode(t, "bogus interest", p.ending(), link.Protocol)
	}
	t.Run("names that are none", func(t *testing.T) {
		for _, name := range []string{"", "nonsense", "$.A..B", "$.A.*.B"} {
			bubble(t, func(t *testing.T) {
				p := dial(t)
				p.send(&link.Interest{Restart: true, Wanted: []string{"$.Fine", name}, Whole: true})
				refused(t, p)
			})
		}
	})
	t.Run("too many", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			bus := membus.New()
			p := newPuppet(t, bus, limpet.Config{MaxNames: 100})
			p.greeting.Features = []string{"interest"}
			p.dial()
			names := func(n int) (all []string) {
				for i := range n {
					all = append(all, fmt.Sprintf("$.N%d", i))
				}
				return all
			}
			gets := func(name string, want bool) {
				t.Helper()
				synctest.Wait()
				sendTo(t, open(t, bus), &kbusdev.Message{Name: name})
				p.listen(true)
				if got := len(p.named(name)) > 0; got != want {
					t.Errorf("%s is sent: %v", name, got)
				}
			}
			p.send(&link.Interest{Restart: true, Wanted: names(100), Whole: true})
			gets("$.N99", true)
			gets("$.Other.A", false)
			p.send(&link.Interest{Wanted: []string{"$.One.More"}})
			gets("$.Other.B", true)
			p.send(&link.Interest{Unwanted: names(50), Wanted: []string{"$.Another"}})
			gets("$.Other.C", true)
			p.send(&link.Interest{Restart: true, Wanted: names(100), Whole: true})
			gets("$.Other.D", false)
			p.send(&link.Interest{Unwanted: names(50)})
			p.send(&link.Interest{Wanted: []string{"$.One.More"}})
			gets("$.One.More", true)
			gets("$.Other.E", false)
			if n := len(bindings(t, bus)); n > 60 {
				t.Errorf("%d names are bound", n)
			}
		})
	})
	t.Run("unwanted before wanted", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := dial(t)
			p.send(&link.Interest{Restart: true, Unwanted: []string{"$.Never"}, Whole: true})
			p.send(&link.Interest{Unwanted: []string{"$.Never"}})
			synctest.Wait()
			sendTo(t, open(t, p.node.Bus()), &kbusdev.Message{Name: "$.Never"})
			p.listen(true)
			if n := len(p.named("$.Never")); n != 0 || p.status().State != limpet.Up {
				t.Errorf("%d announcements, %s", n, p.status().State)
			}
		})
	})
}

// A hub with a hundred peers: a request to one of them costs the others not even a
// frame, and an announcement crosses only to those that want it, from the hub or from
// one of the peers.
func TestAHubSendsOnlyWhereItIsWanted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const replies, listens, talks = 0, 1, 2 // who of the peers does what
		hub := membus.New(membus.WithMaxMessages(10000))
		n := node(t, hub, 1000)
		var frames [100]atomic.Int64 // by peer, both ways
		var buses [100]*membus.Bus
		for i := range buses {
			buses[i] = membus.New()
			from := node(t, buses[i], uint32(i+1)).NewDialled("hub", limpet.Config{}, false)
			layFrom(t, from, n, limpet.Config{}, func(w *wires) { w.onSend = func() { frames[i].Add(1) } })
		}
		pass(time.Second)
		replier, listener := open(t, buses[replies]), open(t, buses[listens])
		bind(t, replier, "$.Ask", kbusdev.Replier)
		bind(t, listener, "$.News", kbusdev.Listener)
		pass(time.Second)
		for _, c := range []struct {
			from  string
			bus   *membus.Bus
			links []int // that carry something
		}{{"the hub", hub, []int{replies, listens}}, {"a peer", buses[talks], []int{replies, listens, talks}}} {
			for i := range frames {
				frames[i].Store(0)
			}
			asker := open(t, c.bus)
			for range 10 {
				ask(t, asker, "$.Ask")
				sendTo(t, asker, &kbusdev.Message{Name: "$.News"})
				synctest.Wait()
				q := queuedOn(t, replier)
				sendTo(t, replier, &kbusdev.Message{Name: "$.Ask", To: q[0].From, InReplyTo: q[0].ID})
				pass(5 * time.Millisecond) // the acknowledgements
			}
			if asked, heard := len(queuedOn(t, asker)), len(queuedOn(t, listener)); asked != 10 || heard != 10 {
				t.Fatalf("from %s: %d of 10 requests are answered, %d of 10 announcements heard", c.from, asked, heard)
			}
			for i := range frames {
				if got := frames[i].Load(); (got > 0) != slices.Contains(c.links, i) {
					t.Errorf("from %s: %d frames are exchanged with peer %d", c.from, got, i+1)
				}
			}
		}
	})
}

// What a peer does not want is never given to its limpet: it is not queued there, and the
// limpet's full queue refuses nobody's ALL_OR_FAIL. What it does want is refused.
func TestALimpetListensToWhatIsWanted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newChain(t, 2, limpet.Config{MaxMessages: 10, WindowMessages: 4, Pattern: "$.News.*", Termination: "$.News.Stop"})
		listener, talker := open(t, c.buses[1]), open(t, c.buses[0])
		listens := func(want ...string) {
			t.Helper()
			synctest.Wait()
			bindings, err := c.buses[0].Bindings()
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, b := range bindings {
				names = append(names, b.Name)
			}
			want = append(want, "$.KBUS.ReplierBindEvent", "$.News.Stop")
			slices.Sort(names)
			slices.Sort(want)
			if !slices.Equal(names, want) {
				t.Errorf("the limpet listens to %q, want %q", names, want)
			}
		}
		say := func(name string, flags kbusdev.Flags) error {
			_, err := talker.Send(t.Context(), &kbusdev.Message{Name: name, Flags: flags})
			return err
		}
		listens()
		bind(t, listener, "$.*", kbusdev.Listener)
		listens("$.News.*")
		bind(t, listener, "$.KBUS.ReplierBindEvent", kbusdev.Listener)
		bind(t, listener, "$.News.B", kbusdev.Listener)
		if err := listener.Unbind("$.*", kbusdev.Listener); err != nil {
			t.Fatal(err)
		}
		listens("$.News.B")
		c.cables[0].pull()
		for range 30 { // the window, the queue, and more
			if err := say("$.News.B", 0); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if err := say("$.News.A", kbusdev.AllOrFail); err != nil {
			t.Errorf("what nobody wants is refused: %v", err)
		}
		if err := say("$.News.B", kbusdev.AllOrFail); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("what is wanted, and finds no room: %v", err)
		}
		listens("$.News.B")
		c.cables[0].plug(nil)
		pass(time.Second)
		listens("$.News.B")
		if n := len(queuedOn(t, listener)); n < 10 || n >= 30 {
			t.Errorf("%d are heard", n)
		}
	})
}

// A hub that stops does not tell the peers that it still waits for of those that go.
func TestAHubThatStops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hub, busy := membus.New(), membus.New()
		n := node(t, hub, 1000)
		var topologies atomic.Int64
		cables := make([]*cable, 30)
		for i := range cables {
			bus := busy
			if i > 0 {
				bus = membus.New()
			}
			from := node(t, bus, uint32(i+1)).NewDialled("hub", limpet.Config{}, false)
			cables[i] = layFrom(t, from, n, limpet.Config{}, func(w *wires) {
				w.onFrame = func(f link.Frame) {
					if _, ok := f.(*link.Topology); ok {
						topologies.Add(1)
					}
				}
			})
		}
		bind(t, open(t, busy), "$.Ask", kbusdev.Replier) // and never answers
		pass(time.Second)
		ask(t, open(t, hub), "$.Ask")
		if topologies.Swap(0) == 0 {
			t.Fatal("no peer is told of the others")
		}
		for _, c := range cables {
			c.unplug()
		}
		n.Close(t.Context(), "test")
		if got := topologies.Load(); got > 0 {
			t.Errorf("%d times a peer is told what lies behind a hub that stops", got)
		}
	})
}
