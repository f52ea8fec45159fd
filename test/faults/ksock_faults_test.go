package faults

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/client"
)

// suffer has the faults come and go at their times, and returns when all are over.
func (r *ksockRun) suffer() {
	var all events
	for _, f := range r.s.faults {
		all.add(f.at, f.lasts, func() (over func()) { return r.apply(f) })
	}
	all.play()
}

// apply begins a fault, and gives what ends it.
func (r *ksockRun) apply(f ksockFault) (over func()) {
	if f.daemon {
		return r.applyToDaemon(f, r.nodes[f.target])
	}
	if f.program == "" {
		return disturb(r.link, f.fault)
	}
	p := r.processes[f.program]
	r.tr.touches(f.program)
	switch f.kind {
	case kill:
		p.kill()
		return func() {
			if err := p.start(); err != nil {
				r.tr.strange(err.Error())
			}
		}
	case stop:
		p.signal(syscall.SIGSTOP)
		return func() { p.signal(syscall.SIGCONT) }
	case outlast:
		p.cable.cut(false)
		r.givenUp(p)
		return p.cable.clean
	default:
		return disturb(p.cable, f.fault)
	}
}

// disturb begins a fault of a cable, and gives what ends it.
func disturb(cable *proxy, f fault) (over func()) {
	switch f.kind {
	case fin, rst:
		cable.cut(f.kind == rst)
	case flap:
		return flaps(cable)
	default:
		for _, way := range f.ways {
			cable.set(way, map[kind]mode{hole: holdBack, drop: throwOff, slow: trickle}[f.kind], f.rate)
		}
	}
	return cable.clean
}

// flapEvery is how long a stream lives that flaps: long enough to be resumed.
const flapEvery = 30 * time.Millisecond

// flaps ends the connections of a cable again and again, and returns what ends that.
func flaps(cable *proxy) (over func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(flapEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			cable.cut(true)
			cable.clean()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return func() { cancel(); all.Wait() }
}

func (r *ksockRun) applyToDaemon(f ksockFault, n *node) (over func()) {
	if f.lasts >= longerThanNoticed { // its programs give it up, and lose their Ksocks if the grace is short
		for name := range r.processes {
			r.tr.touches(name)
		}
	}
	if f.kind == stop {
		n.signal(syscall.SIGSTOP)
		return func() { n.signal(syscall.SIGCONT) }
	}
	dead := r.tr.death(f.target)
	if f.kind == kill {
		n.kill()
	} else if err := n.terminate(); err != nil {
		r.tr.strange(err.Error())
	}
	return func() {
		if err := n.start(); err != nil {
			r.tr.strange(err.Error())
		}
		dead()
	}
}

// givenUp waits until the daemon has closed a program's Ksock: the program cannot go on with
// it.
func (r *ksockRun) givenUp(p *process) {
	d := r.tr.present(p.brief.Name)
	if d == nil { // it has none now
		return
	}
	r.wait("the daemon gives up "+d.name, func() []string { return r.bound(p.home, d.name) })
	r.tr.outlasted(d)
}

// bound returns what is bound on a daemon's bus by a Ksock, or by any program's if ksock is
// empty.
func (r *ksockRun) bound(home int, ksock string) (names []string) {
	l := r.nodes[home].life()
	if l.bus == nil {
		return []string{"the daemon does not run"}
	}
	return boundOn(l.bus, ksock)
}

func boundOn(bus *client.Bus, ksock string) (names []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	all, err := bus.Bindings(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	for _, b := range all {
		if strings.HasPrefix(b.Name, herePrefix+ksock) {
			names = append(names, b.Name)
		}
	}
	return names
}
