package kbusdev

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// PollConfig is how a bus's listeners are polled.
type PollConfig struct {
	// Every is the pause between two readings of the bus's bindings, above 0. It is longer
	// where reading takes long, so that at most a tenth of the time is spent on it: a
	// device's lock is held meanwhile.
	Every time.Duration
	// Log is told when the bindings cannot be listed any more, and when they can again; nil
	// logs nothing.
	Log *slog.Logger
}

const (
	// NameProbe is what the poller itself listens to, so that it finds itself in the list.
	NameProbe = "$.Limpet.Probe"
	// maxPolled is the most listener bindings that are followed.
	maxPolled = 1 << 16
	// retryListing is the least pause after a failure.
	retryListing = 5 * time.Second
)

// PollListeners returns a bus that is bus, and tells of its listeners too, though bus
// does not: it has the method WatchListeners of membus.Bus. It looks at bus.Bindings in
// turns, so what it tells is up to cfg.Every old, and it may miss a binding that is
// shorter than that.
//
// Whenever it cannot know the listeners it tells instead of all of them that Ksock 0,
// which is nobody, listens to "$.*": when listing fails, when there are more than 65 536
// listeners, or when the list is not of this bus. So that it can tell, it has a Ksock
// that listens to NameProbe, and must be in the list. Bindings of names that CheckBindName
// refuses are left out.
func PollListeners(bus Bus, cfg PollConfig) Bus {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &polledBus{Bus: bus, cfg: cfg}
}

type polledBus struct {
	Bus
	cfg PollConfig
}

// LosesUnread reports what the bus itself does.
func (b *polledBus) LosesUnread() bool {
	bus, ok := b.Bus.(interface{ LosesUnread() bool })
	return ok && bus.LosesUnread()
}

// WatchListeners tells f of every listener binding there is, and then of each that has
// been bound or unbound since the bindings were last read. Of one reading it tells what
// is new first. The first reading is made before WatchListeners returns. f is called by
// one goroutine at a time, and must not call stop. After stop has returned f is not
// called again. stop may be called twice.
func (b *polledBus) WatchListeners(f func(b Binding, bound bool)) (stop func()) {
	p := &listenerPoll{bus: b.Bus, cfg: b.cfg, tell: f}
	pause := p.turn()
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		p.run(pause, end)
	}()
	return sync.OnceFunc(func() {
		close(end)
		<-done
	})
}

// A listenerPoll is one watcher's reading of a bus's listeners.
type listenerPoll struct {
	bus    Bus
	cfg    PollConfig
	tell   func(b Binding, bound bool)
	probe  Ksock // nil before the first reading, and after a failure
	told   listenerCounts
	failed bool
}

// listenerCounts says how many bindings of a kind there are.
type listenerCounts map[Binding]int

// anything is what is told when the listeners are not known.
var anything = listenerCounts{{Role: Listener, Name: "$.*"}: 1}

// run takes turns until end is closed.
func (p *listenerPoll) run(pause time.Duration, end <-chan struct{}) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-end:
			p.closeProbe()
			return
		case <-timer.C:
			timer.Reset(p.turn())
		}
	}
}

// turn reads the listeners, tells what has changed, and returns the pause before the next
// turn.
func (p *listenerPoll) turn() time.Duration {
	start := time.Now()
	now, err := p.read()
	pause := max(p.cfg.Every, 10*time.Since(start))
	if err != nil {
		now, pause = anything, max(pause, retryListing)
	}
	switch {
	case err != nil && !p.failed:
		p.cfg.Log.Warn("the bus's listeners cannot be listed: until they can, peers send it everything", "error", err)
	case err == nil && p.failed:
		p.cfg.Log.Info("the bus's listeners can be listed again")
	}
	p.failed = err != nil
	p.change(now)
	if p.failed {
		p.closeProbe() // last, for it may take long on a bus that hangs
	}
	return pause
}

// change tells the differences, those that are bound first, so that nothing that is
// wanted before and after is unwanted in between.
func (p *listenerPoll) change(now listenerCounts) {
	for b, n := range now {
		for range n - p.told[b] {
			p.tell(b, true)
		}
	}
	for b, n := range p.told {
		for range n - now[b] {
			p.tell(b, false)
		}
	}
	p.told = now
}

// read counts the listeners. The error says why they are not known.
func (p *listenerPoll) read() (listenerCounts, error) {
	if err := p.openProbe(); err != nil {
		return nil, err
	}
	all, err := p.bus.Bindings()
	if err != nil {
		return nil, err
	}
	probe := Binding{Ksock: p.probe.ID(), Role: Listener, Name: NameProbe}
	if !slices.Contains(all, probe) {
		return nil, fmt.Errorf("the list of bindings is not that of %s: Ksock %d, which listens to %s, is not in it", p.bus, probe.Ksock, probe.Name)
	}
	counts, n := make(listenerCounts), 0
	for _, b := range all {
		if b.Role != Listener || b == probe || CheckBindName(b.Name) != nil {
			continue
		}
		if n++; n > maxPolled {
			return nil, fmt.Errorf("%s has more than %d listeners, too many to follow", p.bus, maxPolled)
		}
		counts[b]++
	}
	return counts, nil
}

func (p *listenerPoll) openProbe() error {
	if p.probe != nil {
		return nil
	}
	k, err := p.bus.Open(ReadOnly)
	if err != nil {
		return err
	}
	p.probe = k
	return k.Bind(NameProbe, Listener)
}

func (p *listenerPoll) closeProbe() {
	if p.probe != nil {
		_ = p.probe.Close() // the bus may be gone
		p.probe = nil
	}
}
