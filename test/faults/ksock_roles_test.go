package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

func (l *ksockLife) nextKey() string {
	l.last++
	return fmt.Sprintf("%s.%d", l.name, l.last)
}

// listen notes what it hears until it is told to end, and then what is still queued.
func (l *ksockLife) listen() error {
	take := func(m *kbusdev.Message) { l.note(note{What: hasHeard, Key: keyOf(m.Name)}) }
	ctx, stop := l.untilFinish()
	defer stop()
	if err := l.read(ctx, take); err != nil {
		return err
	}
	return l.readRest(take)
}

// untilFinish returns a context that ends when the program is told to end.
func (p *person) untilFinish() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-p.finish:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// An answerer replies to requests, and sometimes late.
type answerer struct {
	*ksockLife
	late sync.WaitGroup
	mu   sync.Mutex
	r    *rand.Rand
	why  error // the Ksock is over
}

func (l *ksockLife) reply() error {
	a := &answerer{ksockLife: l, r: rand.New(rand.NewPCG(l.Seed, 5))}
	ctx, stop := l.untilFinish()
	defer stop()
	err := l.read(ctx, a.take)
	if err == nil {
		err = l.readRest(a.take)
	}
	a.late.Wait()
	if err == nil {
		err = a.why
	}
	if err == nil {
		err = a.flushed(l.k.Flush(context.Background()))
	}
	return err
}

func (a *answerer) take(q *kbusdev.Message) {
	a.note(note{What: hasRun, Key: keyOf(q.Name), ID: q.ID})
	a.mu.Lock()
	wait := time.Duration(0)
	if a.Slow && a.r.IntN(6) == 0 {
		wait = time.Duration(a.r.IntN(400)) * time.Millisecond
	}
	a.mu.Unlock()
	if wait == 0 {
		a.answer(q)
		return
	}
	a.late.Add(1)
	time.AfterFunc(wait, func() { defer a.late.Done(); a.answer(q) })
}

// answer sends a reply or posts it.
func (a *answerer) answer(q *kbusdev.Message) {
	key := keyOf(q.Name)
	m := &kbusdev.Message{Name: askPrefix + "Answer." + key, To: q.From, InReplyTo: q.ID, Data: []byte(key + " " + a.name)}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.note(note{What: willAnswer, Key: key})
	var err error
	switch a.r.IntN(10) {
	case 0:
		_, err = a.k.Send(context.Background(), m)
	case 1:
		if err = a.k.Post(context.Background(), m); err == nil {
			err = a.k.Flush(context.Background())
		}
	default:
		err = a.k.Post(context.Background(), m)
	}
	if err = a.flushed(err); err != nil && a.why == nil {
		a.why = err
	}
}

// flushed notes the replies that the bus has refused, and returns why the Ksock is over.
func (a *answerer) flushed(err error) error {
	if err == nil {
		return nil
	}
	for _, err := range refusals(err) {
		if errors.Is(err, net.ErrClosed) || !a.noteRefusal(err) {
			return err
		}
	}
	return nil
}

// refusals returns the refusals that Flush has returned.
func refusals(err error) []error {
	var all interface{ Unwrap() []error }
	if errors.As(err, &all) && !errors.Is(err, net.ErrClosed) {
		return slices.Clone(all.Unwrap())
	}
	return []error{err}
}

// noteRefusal notes that the bus has refused a message. It returns false of another error.
func (l *ksockLife) noteRefusal(err error) bool {
	var refusal *kbusdev.OpError
	errno := errnoOf(err)
	if !errors.As(err, &refusal) || errno == "" {
		return false
	}
	l.note(note{What: wasRefused, Key: keyOf(refusal.Name), Word: errno})
	return true
}
