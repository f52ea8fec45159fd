package limpet_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// linkOnce tries to link two nodes, and returns why each end stopped; nil while up.
func linkOnce(t *testing.T, from, to *limpet.Node) (dialled, accepted func() error) {
	t.Helper()
	a, b := pipe()
	ctx, cancel := context.WithCancel(context.Background())
	p := from.NewDialled("once", limpet.Config{Grace: -1}, false)
	result := func(serve func() error) func() error {
		done := make(chan struct{})
		var why error
		go func() { defer close(done); why = serve() }()
		t.Cleanup(func() { cancel(); <-done })
		return func() error {
			pass(5 * time.Second) // a peer that is thought to be gone is waited for
			select {
			case <-done:
				return why
			default:
				return nil
			}
		}
	}
	return result(func() error { return p.Dial(ctx, a, nil) }),
		result(func() error { return to.Accept(ctx, b, limpet.Config{Grace: -1}) })
}

func TestLoopsAndClashesAreRefusedByName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c := node(t, membus.New(), 1), node(t, membus.New(), 2), node(t, membus.New(), 3)
		for _, pair := range [][2]*limpet.Node{{a, b}, {b, c}} {
			if d, _ := linkOnce(t, pair[0], pair[1]); d() != nil {
				t.Fatalf("a plain link: %v", d())
			}
		}
		d, acc := linkOnce(t, c, a)
		wantCode(t, "a ring, dialling", d(), link.Loop)
		wantCode(t, "a ring, accepting", acc(), link.Loop)
		d, _ = linkOnce(t, b, a)
		wantCode(t, "a second link beside the first", d(), link.Loop)
		d, _ = linkOnce(t, node(t, membus.New(), 3), a)
		wantCode(t, "the id of a network behind a peer", d(), link.Clash)
		if err := d(); err == nil || !strings.Contains(err.Error(), "two daemons have network id 3") {
			t.Errorf("the clash is told as %v", err)
		}
		d, _ = linkOnce(t, node(t, membus.New(), 2), a)
		wantCode(t, "the id of a peer", d(), link.Clash)
		d, _ = linkOnce(t, node(t, membus.New(), 1), a)
		wantCode(t, "our own id", d(), link.SameNetworkID)
		d, _ = linkOnce(t, a, a)
		wantCode(t, "ourselves", d(), link.Loop)
		for _, n := range []*limpet.Node{a, b, c} {
			up := 0
			for _, p := range n.Peerings() {
				if p.Status().State == limpet.Up {
					up++
				}
			}
			if want := map[uint32]int{1: 1, 2: 2, 3: 1}[n.NetworkID()]; up != want {
				t.Errorf("network %d has %d links that are up, want %d", n.NetworkID(), up, want)
			}
		}
	})
}

func TestNetworkIDZeroIsRefused(t *testing.T) {
	_, err := limpet.NewNode(membus.New(), 0, quiet())
	wantCode(t, "network id 0", err, link.BadNetworkID)
}

// Two trees that are joined while each thinks well of it: the topology that comes later
// shows the loop, and ends the link.
func TestLoopThatShowsLaterEndsTheLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialPuppet(t, membus.New(), limpet.Config{})
		p.send(&link.Topology{Networks: []link.Network{{ID: 1, Instance: link.InstanceID{9}}}})
		p.listen(false)
		last := p.frames[len(p.frames)-1]
		if e, ok := last.(*link.Error); !ok || e.Code != link.Clash || e.NetworkID != 1 {
			t.Errorf("the peer is told %+v", last)
		}
		p.cut()
		wantCode(t, "our id behind the peer", p.ending(), link.Clash)
		if st := p.status(); st.State != limpet.Connecting {
			t.Errorf("the link is %s", st.State)
		}
	})
}

// The same when the loop, or the clash, is in what has changed: it is refused by name,
// and what is no news is taken.
func TestLoopInAChangeEndsTheLink(t *testing.T) {
	ours := link.Network{ID: 1, Instance: link.InstanceID{9}}
	other := func(id uint32) link.Network { return link.Network{ID: id, Instance: link.InstanceID{byte(id)}} }
	bubble(t, func(t *testing.T) {
		p := dialPuppet(t, membus.New(), limpet.Config{})
		behind := func(want ...uint32) {
			t.Helper()
			synctest.Wait()
			var got []uint32
			for _, n := range p.status().Behind {
				got = append(got, n.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("behind the peer are %d, want %d", got, want)
			}
		}
		p.send(&link.Topology{Networks: []link.Network{other(5), other(6)}})
		behind(5, 6)
		p.send(&link.Topology{Amends: true, Networks: []link.Network{other(7), {ID: 6, Instance: link.InstanceID{66}}}, Removed: []uint32{5, 99}})
		behind(6, 7)
		if got := p.status().Behind[0].Instance; got != (link.InstanceID{66}) {
			t.Errorf("network 6 is still %v", got)
		}
		p.send(&link.Topology{Networks: []link.Network{other(8)}})
		behind(8)
		p.send(&link.Topology{Amends: true, Networks: []link.Network{other(9), ours}})
		p.listen(false)
		last := p.frames[len(p.frames)-1]
		if e, ok := last.(*link.Error); !ok || e.Code != link.Clash || e.NetworkID != 1 {
			t.Errorf("the peer is told %+v", last)
		}
		p.cut()
		wantCode(t, "our id behind the peer", p.ending(), link.Clash)
	})
}

// A peer that dials again with something wrong is refused, and the link that lives stays
// as it is.
func TestARefusedRedialChangesNothing(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*link.Greeting)
		code   link.Code
	}{
		"a loop":            {func(g *link.Greeting) { g.Behind = []link.Network{{ID: 3, Instance: link.InstanceID{3}}} }, link.Loop},
		"a clash":           {func(g *link.Greeting) { g.Behind = []link.Network{{ID: 3, Instance: link.InstanceID{9}}} }, link.Clash},
		"our own id behind": {func(g *link.Greeting) { g.Behind = []link.Network{{ID: 1, Instance: link.InstanceID{9}}} }, link.Clash},
		"a wrong pattern":   {func(g *link.Greeting) { g.Pattern = "nonsense" }, link.Protocol},
		"another version":   {func(g *link.Greeting) { g.Version = 99 }, link.Version},
		"no window":         {func(g *link.Greeting) { g.WindowBytes = 0 }, link.Protocol},
		"another link id":   {func(g *link.Greeting) { g.LinkID = "another" }, link.Loop},
		"another instance":  {func(g *link.Greeting) { g.Instance = link.InstanceID{8} }, link.Clash},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				bus := membus.New()
				p := dialPuppet(t, bus, limpet.Config{})
				other := newPuppet(t, membus.New(), limpet.Config{}) // network 3, linked to the same node
				other.node = p.node
				other.greeting.NetworkID, other.greeting.Instance, other.greeting.LinkID = 3, link.InstanceID{3}, "other"
				other.dial()
				asker := open(t, bus)
				p.bind(true, "$.Far")
				request := ask(t, asker, "$.Far")
				p.listen(true)
				before, stream, ended := p.peerStatus(), p.stream, p.ended

				good := p.greeting
				c.change(&p.greeting)
				stop := make(chan struct{})
				alive := func() { // both peers say that they live
					for {
						select {
						case <-stop:
							return
						case <-time.After(time.Second):
							_ = stream.Send(&link.Ping{Received: p.heard})
							_ = other.stream.Send(&link.Ping{Received: other.heard})
						}
					}
				}
				go alive()
				wantCode(t, what, p.tryDial(), c.code)
				close(stop)
				p.greeting, p.stream, p.ended = good, stream, ended

				after := p.peerStatus()
				if after.State != limpet.Up || after.Ksock != before.Ksock || after.Session != before.Session || after.Resumed != 0 || after.Epochs != 1 {
					t.Errorf("before %+v\nafter %+v", before, after)
				}
				q := p.named("$.Far")
				p.bring(kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: 9}, Name: "$.Far", To: q[0].From, InReplyTo: q[0].ID})
				if m := received(t, asker); m.InReplyTo != request || m.Name != "$.Far" {
					t.Errorf("the open request is answered %+v", m)
				}
				p.cut() // and it can be resumed
				p.redial()
			})
		})
	}
}

// peerStatus returns the status of the peering with network 2.
func (p *puppet) peerStatus() limpet.Status {
	p.t.Helper()
	for _, q := range p.node.Peerings() {
		if st := q.Status(); st.Peer != nil && st.Peer.NetworkID == 2 {
			return st
		}
	}
	p.t.Fatal("no peering with network 2")
	return limpet.Status{}
}

// A peer that died without a word and was started again takes its own place as soon as
// the old one is silent for longer than the time between two pings.
func TestARestartedPeerReplacesADeadOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialPuppet(t, membus.New(), limpet.Config{})
		p.bind(true, "$.Far")
		pass(time.Second)
		old := p.stream.(*pipeEnd)
		p.restart()
		start := time.Now()
		if err := p.tryDial(); err != nil {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
		old.cut()
		if st := p.status(); st.State != limpet.Up || st.Epochs != 2 {
			t.Errorf("%s, %d epochs", st.State, st.Epochs)
		}
		if n := p.status().Counts.Proxies; n != 0 {
			t.Errorf("%d names of the old one are still bound", n)
		}
	})
}

// The same for a peer that comes by another way: it dials now, and was dialled before.
func TestARestartedPeerReplacesADeadOneOnAnotherLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		here, there, again := node(t, membus.New(), 1), node(t, membus.New(), 2), node(t, membus.New(), 2)
		c := lay(t, here, there, limpet.Config{})
		pass(time.Second)
		c.pull()
		pass(time.Second)
		d := lay(t, again, here, limpet.Config{})
		pass(5 * time.Second)
		if st := d.from.Status(); st.State != limpet.Up {
			t.Errorf("the new one is %s: %v", st.State, d.ended())
		}
		if st := c.from.Status(); st.State != limpet.Connecting {
			t.Errorf("the old one is %s", st.State)
		}
	})
}

// A dialler whose grace was over just before its peer agreed to resume begins anew.
func TestGraceOverWhileTheGreetingIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus, far := membus.New(), membus.New()
		a, b := node(t, bus, 1), node(t, far, 2)
		from := a.NewDialled("dial 2", limpet.Config{Grace: time.Second}, false)
		var delay atomic.Int64
		c := layFrom(t, from, b, limpet.Config{Grace: time.Minute}, func(w *wires) {
			var wait atomic.Int64 // of the first frame, the greeting
			wait.Store(delay.Load())
			w.onSend = func() { <-time.After(time.Duration(wait.Swap(0))) }
		})
		pass(time.Second)
		listener := open(t, far)
		bind(t, listener, "$.News", kbusdev.Listener)
		talker := open(t, bus)
		synctest.Wait()
		sendTo(t, talker, &kbusdev.Message{Name: "$.News"})
		synctest.Wait()
		delay.Store(int64(1500 * time.Millisecond))
		c.cut()
		var why []error
		for range 50 {
			pass(100 * time.Millisecond)
			why = append(why, c.ended())
		}
		if st := from.Status(); st.State != limpet.Up || st.Epochs != 2 {
			t.Errorf("%s, %d epochs: %v", st.State, st.Epochs, st.LastErr)
		}
		for _, err := range why {
			if errors.Is(err, &link.Error{Code: link.Protocol}) {
				t.Errorf("the link ended with %v", err)
				break
			}
		}
		sendTo(t, talker, &kbusdev.Message{Name: "$.News"})
		pass(time.Second)
		if n := len(queuedOn(t, listener)); n != 2 {
			t.Errorf("%d announcements are heard", n)
		}
	})
}

// A side that accepts and was started again knows nothing of the session that the one
// that dials wants to resume: a new one begins at once, and gets what was not
// acknowledged.
func TestTheAcceptingSideRestarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus, far := membus.New(), membus.New()
		a, b := node(t, bus, 1), node(t, membus.New(), 2)
		c := lay(t, a, b, limpet.Config{})
		pass(time.Second)
		talker, listener := open(t, bus), open(t, far)
		bind(t, listener, "$.News", kbusdev.Listener)
		speaker := open(t, b.Bus())
		for range 20 { // so that the number expected is not 1
			sendTo(t, speaker, &kbusdev.Message{Name: "$.News"})
		}
		bind(t, open(t, bus), "$.News", kbusdev.Listener)
		pass(time.Second)
		for range 20 {
			sendTo(t, speaker, &kbusdev.Message{Name: "$.News"})
		}
		hears := open(t, b.Bus())
		bind(t, hears, "$.News", kbusdev.Listener) // so that announcements for it cross
		pass(time.Second)
		c.pull()
		sendTo(t, talker, &kbusdev.Message{Name: "$.News"})
		pass(time.Second)
		again := node(t, far, 2)
		c.plug(again)
		if st := c.from.Status(); st.State != limpet.Up || st.Epochs != 2 || errors.Is(c.ended(), &link.Error{Code: link.Protocol}) {
			t.Errorf("%s, %d epochs: %v, %v", st.State, st.Epochs, st.LastErr, c.ended())
		}
		pass(time.Second)
		if n := len(queuedOn(t, listener)); n != 1 {
			t.Errorf("the announcement that was kept is heard %d times", n)
		}
		lawful(t, true, a, again)
	})
}

// A slowBus opens Ksocks only when it is told to.
type slowBus struct {
	*membus.Bus
	may chan struct{}
}

func (b *slowBus) Open(mode kbusdev.Mode) (kbusdev.Ksock, error) {
	<-b.may
	return b.Bus.Open(mode)
}

// A node that is closed while a peer is being admitted leaves nothing running.
func TestCloseWhileAPeerIsAdmitted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := &slowBus{membus.New(), make(chan struct{}, 1)}
		bus.may <- struct{}{}
		n, err := limpet.NewNode(bus, 1, quiet())
		if err != nil {
			t.Fatal(err)
		}
		p := newPuppet(t, membus.New(), limpet.Config{})
		ours, theirs := pipe()
		ended := make(chan error, 1)
		go func() { ended <- n.Accept(context.Background(), ours, limpet.Config{}) }()
		if err := theirs.Send(&p.greeting); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		closed := make(chan struct{})
		go func() { defer close(closed); n.Close(context.Background(), "the test closes it") }()
		synctest.Wait()
		close(bus.may)
		<-closed
		f, err := theirs.Recv()
		if e, ok := f.(*link.Error); !ok || e.Code != link.GoingAway {
			t.Errorf("the peer is told %+v, %v", f, err)
		}
		theirs.Close()
		wantCode(t, "the peer that came too late", <-ended, link.GoingAway)
		if all, _ := bus.Bindings(); len(all) != 0 {
			t.Errorf("left on the bus: %+v", all)
		}
	})
}
