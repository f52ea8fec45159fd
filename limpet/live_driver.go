package limpet

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// NextFrame is link.Driver's.
func (l *live) NextFrame(now time.Time) (link.Frame, time.Time, bool) {
	l.mu.Lock()
	due := l.epoch.TopologyDue(now)
	l.mu.Unlock()
	if due {
		if t := l.peering.node.topologyFor(l); t != nil {
			l.mu.Lock()
			l.epoch.TopologyTold(now)
			l.mu.Unlock()
			return t, time.Time{}, false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch.NextFrame(now)
}

// Flushed is link.Driver's.
func (l *live) Flushed(now time.Time) {
	l.mu.Lock()
	hungry := l.epoch.Appetite() > 0
	l.epoch.Flushed(now)
	wake := !hungry && l.epoch.Appetite() > 0
	l.mu.Unlock()
	if wake {
		signal(l.wakeRead)
	}
}

// TakeFrame is link.Driver's.
func (l *live) TakeFrame(now time.Time, f link.Frame) error {
	switch f := f.(type) {
	case *link.Topology:
		return l.takeTopology(f)
	case *link.Question, *link.Answer:
		return l.takeExplain(now, f)
	}
	l.mu.Lock()
	hungry := l.epoch.Appetite() > 0
	err := l.epoch.TakeFrame(now, f)
	wake, others := !hungry && l.epoch.Appetite() > 0, l.sleepers()
	crowded := l.epoch.WantsAll()
	l.mu.Unlock()
	switch f := f.(type) {
	case *link.Ack:
		l.rouse(others)
	case *link.Batch:
		if !others.bus || !l.writeNow() { // which rouses everybody
			l.rouse(others)
		}
		l.mu.Lock()
		f.Taken = l.epoch.Waiting() == 0
		l.mu.Unlock()
	default:
		l.wake()
	}
	if wake {
		signal(l.wakeRead)
	}
	if err != nil {
		l.wake()
	} else if i, ok := f.(*link.Interest); ok {
		l.listen()
		l.peering.node.takeInterest(l.peering, i, crowded)
	}
	return err
}

// A narrowKsock can stop listening to a name and keep what is queued.
type narrowKsock interface{ StopListening(name string) error }

func canNarrow(k kbusdev.Ksock) bool {
	_, can := k.(narrowKsock)
	return can
}

// listen makes our Ksock listen to what the peer has just said that it wants. A Ksock
// that can do that waits for nothing.
func (l *live) listen() {
	l.listening.Lock()
	defer l.listening.Unlock()
	for {
		l.mu.Lock()
		changes := l.epoch.Listening()
		l.mu.Unlock()
		if len(changes) == 0 {
			return
		}
		for _, c := range changes {
			var err error
			if c.Bound {
				err = l.ksock.Bind(c.Name, kbusdev.Listener)
			} else {
				err = l.ksock.(narrowKsock).StopListening(c.Name)
			}
			if errors.Is(err, net.ErrClosed) { // the epoch is over
				return
			}
			l.busFailed(err)
		}
	}
}

func (l *live) takeTopology(t *link.Topology) error {
	l.mu.Lock()
	err := l.epoch.Control(time.Now(), t)
	l.mu.Unlock()
	if err == nil {
		err = link.CheckNetworks(t.Networks)
	}
	if err == nil {
		err = l.peering.node.updateTopology(l.peering, t)
	}
	if err != nil {
		l.end(err, false)
	}
	return err
}

// MayReceive is link.Driver's.
func (l *live) MayReceive(ctx context.Context) {
	for {
		l.mu.Lock()
		ok := l.epoch.MayReceive()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.mayRead:
		case <-ctx.Done():
			return
		}
	}
}

// Waker is link.Driver's.
func (l *live) Waker() *link.Waker { return l.waker }

// Stuck is link.Driver's.
func (l *live) Stuck(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch.Stuck(now)
}
