package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// What is sent while the link is cut.
const (
	counted    = 300
	countEvery = 10 * time.Millisecond
	cutFor     = 2 * time.Second
)

// cut cuts the link in the middle of traffic.
func (d *demo) cut(ctx context.Context) error {
	d.title(fmt.Sprintf("The link is cut for %v, in the middle of traffic: nothing is lost", cutFor))
	l, err := d.b.Listen(ctx, client.ListenConfig{Names: []string{"$.Count"}, MaxMessages: counted})
	if err != nil {
		return err
	}
	defer l.Close()
	r, err := d.b.Serve(ctx, 0, "$.Thinker")
	if err != nil {
		return err
	}
	defer r.Close()
	if err := d.a.WaitInterest(ctx, "$.Count", 1); err != nil {
		return err
	}
	if err := d.waitReplier(ctx, d.a, "$.Thinker", true); err != nil {
		return err
	}

	all, ctx := errgroup.WithContext(ctx)
	read, answered := make(chan *kbusdev.Message, 1), make(chan struct{})
	d.say("   network 1: a program announces $.Count %d times, one every %v", counted, countEvery)
	all.Go(func() error { return d.count(ctx) })
	all.Go(func() error { return d.heardCount(l) })
	all.Go(func() error {
		defer close(answered)
		d.say("   network 1: %-22s %-26s  %q", "a program asks", "$.Thinker", "why?")
		reply, err := d.a.Call(ctx, &kbusdev.Message{Name: "$.Thinker", Data: []byte("why?")})
		if err != nil {
			return err
		}
		d.show(1, "the asker reads", reply)
		return nil
	})
	all.Go(func() error {
		q, err := r.Recv()
		if err != nil {
			return err
		}
		d.show(2, "the replier reads", q)
		read <- q
		return nil
	})
	all.Go(func() error {
		var q *kbusdev.Message
		select {
		case q = <-read:
		case <-ctx.Done():
			return ctx.Err()
		}
		d.cable.cut()
		defer d.cable.mend()
		d.say("   - the link is cut")
		d.say("   network 2: the replier answers all the same")
		if err := r.Reply(q, "", []byte("because")); err != nil {
			return err
		}
		select {
		case <-answered:
			return errors.New("a reply has come over a link that is cut")
		case <-time.After(cutFor):
		case <-ctx.Done():
			return ctx.Err()
		}
		d.say("   - the link is whole again")
		return nil
	})
	return all.Wait()
}

// count announces numbers on bus a.
func (d *demo) count(ctx context.Context) error {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for i := range counted {
		if _, err := d.a.Send(ctx, &kbusdev.Message{Name: "$.Count", Data: []byte(strconv.Itoa(i + 1))}); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// heardCount hears all the numbers, each once and in order.
func (d *demo) heardCount(l *client.Listener) error {
	for i := range counted {
		m, err := l.Recv()
		if err != nil {
			return fmt.Errorf("after %d numbers: %w", i, err)
		}
		if want := strconv.Itoa(i + 1); string(m.Data) != want {
			return fmt.Errorf("number %s was heard where %s should be", m.Data, want)
		}
	}
	d.say("   network 2: the listener has heard all %d, each once, in order", counted)
	return nil
}

// killed kills a daemon that has requests, and starts it again.
func (d *demo) killed(ctx context.Context) error {
	d.title("A daemon is killed: each asker is told whether its request may have run")
	r, err := d.b.Serve(ctx, 0, "$.Worker")
	if err != nil {
		return err
	}
	defer r.Close()
	if err := d.waitReplier(ctx, d.a, "$.Worker", true); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	ask := func(what string) {
		d.say("   network 1: %-22s %-26s  %q", "a program asks", "$.Worker", what)
		all.Go(func() error {
			_, err := d.a.Call(ctx, &kbusdev.Message{Name: "$.Worker", Data: []byte(what)})
			var none *client.NoAnswerError
			if !errors.As(err, &none) || none.Reply == nil {
				return fmt.Errorf("asking for the %s: %w", what, err)
			}
			meaning := "it never ran, and is safe to repeat"
			if errors.Is(err, client.ErrMayHaveRun) {
				meaning = "it may have run"
			}
			d.say("   network 1: the asker of %-11q reads %-35s %s", what, none.Reply.Name, meaning)
			return nil
		})
	}
	ask("first job")
	q, err := r.Recv()
	if err != nil {
		return err
	}
	d.show(2, "the replier reads", q)
	d.say("   - kill -9 of the daemon of network 2")
	d.far.kill()
	if err := d.waitBroken(ctx); err != nil {
		return err
	}
	ask("second job")
	if err := all.Wait(); err != nil {
		return err
	}
	d.say("   - it is started again")
	if err := d.start(d.far); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer stop()
	return d.a.WaitLinked(ctx, 1)
}

// waitBroken waits until daemon a has seen that the link is broken.
func (d *demo) waitBroken(ctx context.Context) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		up, err := d.a.LinksUp(ctx)
		if err != nil || up == 0 {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
