package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
)

// probedName is what the bus is asked about. Nobody needs to be bound to it.
const probedName = namePrefix + "Alive"

// Alive reports whether the daemon makes progress: the bus answers an operation, and the
// node and each link tell their state. It returns nil then, else the bus's error, or that
// of ctx when there is no answer before it ends. It is safe for concurrent use, and
// however often it is called, one question at a time is put.
func (d *Daemon) Alive(ctx context.Context) error { return d.alive.ask(ctx) }

// A prober puts a question that may never be answered.
type prober struct {
	question func() error

	mu  sync.Mutex
	now *probe // under way; nil if there is none
}

type probe struct {
	done chan struct{}
	err  error // once done
}

// ask waits for the answer to the question that is under way, or to a new one.
func (p *prober) ask(ctx context.Context) error {
	p.mu.Lock()
	now := p.now
	if now == nil {
		now = &probe{done: make(chan struct{})}
		p.now = now
		go p.put(now)
	}
	p.mu.Unlock()
	select {
	case <-now.done:
		return now.err
	case <-ctx.Done():
		return fmt.Errorf("no answer from the bus and the links: %w", ctx.Err())
	}
}

func (p *prober) put(now *probe) {
	now.err = p.question()
	p.mu.Lock()
	p.now = nil
	p.mu.Unlock()
	close(now.done)
}

// touch takes the locks of the node and each link, and has the bus do something.
func touch(n *limpet.Node) error {
	for _, p := range n.Peerings() {
		p.Status()
	}
	k, err := n.Bus().Open(kbusdev.ReadOnly)
	if err != nil {
		return fmt.Errorf("opening the bus: %w", err)
	}
	_, _, err = k.Replier(probedName)
	return errors.Join(err, k.Close())
}

// Summary says in one line what the links are doing, like "3 links: 2 up, 1 detached".
func (d *Daemon) Summary() string {
	all := d.node.Peerings()
	states := make(map[limpet.State]int)
	for _, p := range all {
		states[p.State()]++
	}
	var parts []string
	for _, s := range []limpet.State{limpet.Up, limpet.Connecting, limpet.Detached, limpet.Draining} {
		if states[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", states[s], s))
		}
	}
	switch len(all) {
	case 0:
		return "no links"
	case 1:
		return "1 link: " + parts[0]
	}
	return fmt.Sprintf("%d links: %s", len(all), strings.Join(parts, ", "))
}
