package limpet_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
)

const pollEvery = 250 * time.Millisecond

// A listedBus is a bus that tells of its listeners only by its list, as a kernel's.
type listedBus struct {
	kbusdev.Bus
	unloaded atomic.Bool // the list cannot be read
}

func (b *listedBus) Bindings() ([]kbusdev.Binding, error) {
	if b.unloaded.Load() {
		return nil, errors.New("no list")
	}
	return b.Bus.Bindings()
}

// A polledPair is a bus from which announcements come, and one that is polled.
type polledPair struct {
	*chain
	far *listedBus
}

func newPolledPair(t *testing.T) *polledPair {
	t.Helper()
	p := &polledPair{&chain{t: t, buses: []*membus.Bus{membus.New(), membus.New()}}, nil}
	p.far = &listedBus{Bus: p.buses[1]}
	p.nodes = []*limpet.Node{
		node(t, p.buses[0], 1),
		node(t, kbusdev.PollListeners(p.far, kbusdev.PollConfig{Every: pollEvery}), 2),
	}
	p.cables = []*cable{lay(t, p.nodes[0], p.nodes[1], limpet.Config{Grace: time.Second})}
	pass(time.Second)
	return p
}

// crosses says whether an announcement crosses.
func (p *polledPair) crosses(name string, want bool, when string) {
	p.t.Helper()
	before, _ := p.sent(0)
	p.say(name)
	if n, _ := p.sent(0); (n > before) != want {
		p.t.Errorf("%s: %d of %s cross", when, n-before, name)
	}
}

// On a bus that is polled a new listener is known of after the period at most, and one
// that has gone too. What the limpets themselves listen to does not count.
func TestInterestOfAPolledBus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPolledPair(t)
		p.crosses("$.News.A", false, "no listener")
		listener := open(t, p.far)
		bind(t, listener, "$.News.*", kbusdev.Listener)
		pass(pollEvery)
		p.crosses("$.News.A", true, "a listener")
		p.crosses("$.Other", false, "a listener of something else")
		if n := len(queuedOn(t, listener)); n != 1 {
			t.Errorf("%d are heard", n)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		pass(pollEvery)
		p.crosses("$.News.A", false, "the listener has gone")
		lawful(t, true, p.nodes...)
	})
}

// When the list cannot be read any more, everything crosses until it can again; the
// limpet's own Ksock does not count then either.
func TestInterestOfABusThatCannotBePolledAnyMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPolledPair(t)
		p.far.unloaded.Store(true)
		pass(pollEvery)
		p.crosses("$.News.A", true, "without the list")
		p.far.unloaded.Store(false)
		pass(5 * time.Second)
		p.crosses("$.News.A", false, "with the list again")
		p.cables[0].pull()
		pass(10 * time.Second)
		p.cables[0].plug(nil)
		pass(time.Second)
		p.crosses("$.News.A", false, "in the next epoch")
	})
}

// Ksocks of epochs that came and went between two readings are not kept, and never count.
func TestPolledKsocksOfShortEpochs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPolledPair(t)
		for range 20 {
			p.nodes[1].Peerings()[0].Drain(t.Context(), "a short epoch")
			pass(110 * time.Millisecond) // then it is linked again
		}
		pass(5 * time.Second)
		p.crosses("$.News.A", false, "after short epochs")
		if n := limpet.OwnKsocks(p.nodes[1]); n != 1 {
			t.Errorf("%d Ksocks are kept, with one link", n)
		}
		if e := p.nodes[1].Peerings()[0].Status().Epochs; e < 20 {
			t.Errorf("%d epochs", e)
		}
	})
}

// A toldBus is a bus whose listeners a test tells.
type toldBus struct {
	kbusdev.Bus
	tell func(b kbusdev.Binding, bound bool)
}

func (b *toldBus) WatchListeners(f func(b kbusdev.Binding, bound bool)) (stop func()) {
	b.tell = f
	return func() {}
}

// A bus that is started again gives out its ids again. The bindings of the Ksock that had
// the id first are told as unbound when another one has it: neither counts, and what a
// program listens to does.
func TestKsockIDsThatComeAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bus := &toldBus{Bus: membus.New()}
		near := membus.New()
		n := node(t, bus, 2)
		c := &chain{t: t, buses: []*membus.Bus{near}, nodes: []*limpet.Node{node(t, near, 1), n}}
		c.cables = []*cable{lay(t, c.nodes[0], n, limpet.Config{})}
		pass(time.Second)
		p := &polledPair{c, nil}
		const id = 500
		own, program := kbusdev.Binding{Ksock: id, Name: "$.*"}, kbusdev.Binding{Ksock: 501, Name: "$.*"}
		for _, step := range []struct {
			do    func()
			wants bool
		}{
			{func() { n.Overlook(id); bus.tell(own, true) }, false},
			{func() { n.Overlook(id); limpet.Overlooked(n, id) }, false},
			{func() { bus.tell(own, false); bus.tell(own, true) }, false},
			{func() { bus.tell(program, true) }, true},
			{func() { limpet.Overlooked(n, id) }, true},
			{func() { bus.tell(own, false) }, true},
			{func() { bus.tell(program, false) }, false},
			{func() { bus.tell(own, true) }, true}, // a program has the id now
		} {
			step.do()
			synctest.Wait()
			p.crosses("$.News", step.wants, "a step")
		}
	})
}
