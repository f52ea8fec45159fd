package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

const (
	// callLimit is longer than any request may be open.
	callLimit = time.Minute
	// queueLimit bounds what waits on a bus for a listener or replier.
	queueLimit = 60000
	// callsOpen bounds what an asker has open.
	callsOpen = 1000
)

// Programs are one sender, asker, listener and replier on a node.
type programs struct {
	tr      *trace
	node    *node
	targets []int // the nodes whose repliers are asked
	send    time.Duration
	ask     time.Duration // between two; 0 is not at all
	each    int           // how many requests are asked at once
	streams *atomic.Int64
	// Whether the replier keeps every tenth request for a moment.
	dawdle bool
}

// run starts what hears and answers, until ctx ends, and what sends and asks, until
// talk does. Both are to be waited for.
func (p *programs) run(ctx, talk context.Context, stay, speak *sync.WaitGroup) {
	stay.Go(func() { p.lives(ctx, "a listener", p.listen) })
	stay.Go(func() { p.lives(ctx, "a replier", p.reply) })
	if p.send > 0 {
		speak.Go(func() { p.announce(talk) })
	}
	if p.ask > 0 {
		speak.Go(func() { p.asks(talk) })
	}
}

// lives runs a stream on each of the node's lives. One that breaks although nothing
// was done to its daemon should not have.
func (p *programs) lives(ctx context.Context, what string, stream func(context.Context, *client.Bus) error) {
	var before *life
	for {
		l := p.node.next(ctx, before)
		if l == nil {
			return
		}
		err := stream(ctx, l.bus)
		if ctx.Err() != nil {
			return
		}
		if before = l; !l.excused.Load() {
			p.tr.strange(fmt.Sprintf("the stream of %s of node %d broke at %v: %v", what, p.node.id, p.tr.now(), err))
		}
		if !l.killed.Load() { // again, in a moment
			before = nil
			again := time.NewTimer(50 * time.Millisecond)
			select {
			case <-again.C:
			case <-ctx.Done():
			}
			again.Stop()
		}
	}
}

func (p *programs) listen(ctx context.Context, bus *client.Bus) error {
	l, err := bus.Listen(ctx, client.ListenConfig{Names: []string{"$.News.*"}, MaxMessages: queueLimit})
	if err != nil {
		return err
	}
	defer l.Close()
	e := ear{p.node.id, int(p.streams.Add(1))}
	for {
		m, err := l.Recv()
		if err != nil {
			return err
		}
		number, err := strconv.Atoi(string(m.Data))
		if err != nil {
			p.tr.strange(fmt.Sprintf("node %d heard %q", p.node.id, m.Data))
			continue
		}
		p.tr.hears(e, number)
	}
}

func replierName(node int) string { return fmt.Sprintf("$.Ask.N%d", node) }

// reply logs each request before it answers it. Late answers may be refused.
func (p *programs) reply(ctx context.Context, bus *client.Bus) error {
	r, err := bus.Serve(ctx, queueLimit, replierName(p.node.id))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil // by one whose end the daemon has not noticed yet
	}
	if err != nil {
		return err
	}
	defer r.Close()
	var mu sync.Mutex // one Reply at a time
	answer := func(q *kbusdev.Message) {
		mu.Lock()
		defer mu.Unlock()
		_ = r.Reply(q, "", []byte(echo(p.node.id, string(q.Data)))) // Recv has the reason
	}
	var late sync.WaitGroup
	defer late.Wait()
	for n := 1; ; n++ {
		q, err := r.Recv()
		var refusal *kbusdev.OpError
		if errors.As(err, &refusal) && refusal.Op == "reply" {
			continue
		}
		if err != nil {
			return err
		}
		p.tr.ran(string(q.Data), p.node.id)
		if !p.dawdle || n%10 != 0 {
			answer(q)
			continue
		}
		late.Add(1)
		time.AfterFunc(time.Duration(rand.IntN(300))*time.Millisecond, func() { defer late.Done(); answer(q) })
	}
}

// announce sends one after the other, so that their order is known.
func (p *programs) announce(ctx context.Context) {
	tick := time.NewTicker(p.send)
	defer tick.Stop()
	for {
		l := p.node.next(ctx, nil)
		if l == nil {
			return
		}
		number := p.tr.sending(p.node.id)
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
		_, err := l.bus.Send(call, &kbusdev.Message{Name: fmt.Sprintf("$.News.N%d", p.node.id), Data: strconv.AppendInt(nil, int64(number), 10)})
		cancel()
		switch {
		case err == nil:
			p.tr.accepted(number)
		case !l.excused.Load():
			p.tr.strange(fmt.Sprintf("announcement %d of node %d was not taken at %v: %v", number, p.node.id, p.tr.now(), err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// asks asks each of the targets in turn, and returns when all calls have ended.
func (p *programs) asks(ctx context.Context) {
	tick := time.NewTicker(p.ask)
	defer tick.Stop()
	var calls sync.WaitGroup
	defer calls.Wait()
	slots := make(chan struct{}, callsOpen)
	for n := 0; ; {
		for range max(p.each, 1) {
			l := p.node.next(ctx, nil)
			if l == nil {
				return
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			c := &call{key: fmt.Sprintf("%d.%d", p.node.id, n), asker: p.node.id, target: p.targets[n%len(p.targets)]}
			n++
			p.tr.calling(c)
			calls.Go(func() { p.call(context.WithoutCancel(ctx), l, c); <-slots })
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *programs) call(ctx context.Context, l *life, c *call) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	m, err := l.bus.Call(ctx, &kbusdev.Message{Name: replierName(c.target), Data: []byte(c.key)})
	var none *client.NoAnswerError
	var status *client.StatusError
	_, byBus := kbusdev.ErrnoOf(err)
	switch {
	case err == nil:
		p.tr.called(c, answered, string(m.Data))
	case errors.As(err, &none) && none.Reply != nil:
		p.tr.called(c, failed, none.Reply.Name)
	case byBus:
		p.tr.called(c, refused, err.Error())
	case errors.As(err, &status) && status.Code == codes.Unavailable && l.excused.Load():
		p.tr.called(c, orphaned, err.Error())
	default:
		p.tr.called(c, unanswered, err.Error())
	}
}
