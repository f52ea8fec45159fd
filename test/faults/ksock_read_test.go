package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// The ways in which programs read.
const (
	readsOne     = "one"     // Recv
	readsMany    = "many"    // RecvBatch
	readsAhead   = "ahead"   // with Prefetch
	readsChanged = "changed" // Prefetch is turned on and off, calls are given up
)

var waysToRead = []string{readsOne, readsMany, readsAhead, readsChanged}

// read gives each message to take until the Ksock is over, or ctx ends.
func (l *ksockLife) read(ctx context.Context, take func(*kbusdev.Message)) error {
	r := rand.New(rand.NewPCG(l.Seed, uint64(l.lives)))
	memory := make([]*kbusdev.Message, 16)
	ahead := l.Reads == readsAhead
	for {
		dst := memory[:1]
		if l.Reads == readsMany || ahead || l.isHushed() {
			dst = memory
		}
		call, cancel := ctx, context.CancelFunc(func() {})
		if l.Reads == readsChanged {
			if r.IntN(20) == 0 {
				ahead = !ahead
				if err := l.k.Prefetch(ahead); err != nil {
					return l.rest(err, take)
				}
			}
			call, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(30))*time.Millisecond)
		}
		n, err := l.k.RecvBatch(call, dst)
		cancel()
		for _, m := range dst[:n] {
			take(m)
		}
		clear(dst)
		switch {
		case err == nil, ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		case ctx.Err() != nil && !errors.Is(err, net.ErrClosed):
			return nil
		default:
			return l.rest(err, take)
		}
		if l.Name[:1] != talks && l.retires(r, 200) {
			return l.retire()
		}
		if l.Slow && r.IntN(10) == 0 && !l.isHushed() {
			l.pause(time.Duration(r.IntN(60)) * time.Millisecond)
		}
	}
}

// rest takes what has come to a Ksock before it was over, and returns why it is.
func (l *ksockLife) rest(why error, take func(*kbusdev.Message)) error {
	l.isOver()
	for {
		m, err := l.k.Recv(context.Background())
		if err != nil {
			return why
		}
		take(m)
	}
}

// readRest gives what the queue has to take until that is empty.
func (l *ksockLife) readRest(take func(*kbusdev.Message)) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	memory := make([]*kbusdev.Message, 16)
	for {
		n, err := l.k.RecvBatch(ended, memory)
		for _, m := range memory[:n] {
			take(m)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			return l.rest(err, take)
		}
		if n > 0 {
			continue
		}
		if left, err := l.k.NumMessages(); err != nil {
			return l.rest(err, take)
		} else if left == 0 {
			return nil
		}
	}
}
