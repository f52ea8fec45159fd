package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/server/bus"
)

// echo has a Ksock in this process answer requests until the test ends; with urgent, now and
// then such that the reply overtakes everything.
func echo(t *testing.T, d *host, name string, urgent kbusdev.Flags) {
	t.Helper()
	k, err := d.bus.Open(kbusdev.ReadWrite)
	must(t, err)
	_, err = k.MaxMessages(10000)
	must(t, err)
	must(t, k.Bind(name, kbusdev.Replier))
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ; i++ {
			q, err := k.Recv(context.Background())
			if err != nil {
				return
			}
			r := &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: q.Data}
			if i%2 == 0 {
				r.Flags = urgent
			}
			if _, err := k.Send(context.Background(), r); err != nil {
				t.Errorf("replying: %v", err)
			}
		}
	})
	t.Cleanup(func() { _ = k.Close(); running.Wait() })
}

// Each of many calls at a time gets its own reply, also where replies overtake the word that
// the request was sent.
func TestManyCalls(t *testing.T) {
	for _, urgent := range []kbusdev.Flags{0, kbusdev.Urgent} {
		d := serve(t, "unix")
		echo(t, d, "$.Echo", urgent)
		c := d.client.Caller()
		defer c.Close()
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				for j := range 40 {
					data := fmt.Sprint(i, " ", j)
					r, err := c.Call(t.Context(), &kbusdev.Message{Name: "$.Echo", Data: []byte(data)})
					if err != nil || string(r.Data) != data {
						t.Errorf("call %s is answered %v, %v", data, r, err)
					}
				}
			})
		}
		all.Wait()
		if n := len(d.bus.Stats()); n != 2 {
			t.Errorf("%d Ksocks are open, want the replier's and one for all calls", n)
		}
	}
}

// Calls that are given up at any time take back their requests, or leave a reply that goes
// to nobody, and disturb no other.
func TestCallsAreGivenUp(t *testing.T) {
	d := serve(t, "unix")
	echo(t, d, "$.Echo", kbusdev.Urgent)
	c := d.client.Caller()
	defer c.Close()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for j := range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%2 == 0 {
					go cancel()
				}
				data := fmt.Sprint(i, " ", j)
				r, err := c.Call(ctx, &kbusdev.Message{Name: "$.Echo", Data: []byte(data)})
				switch {
				case err == nil:
					if string(r.Data) != data {
						t.Errorf("call %s is answered %v", data, r)
					}
				case !errors.Is(err, context.Canceled) || i%2 != 0:
					t.Errorf("call %s: %v", data, err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if waiting, early := c.Remembered(); waiting != 0 || early != 0 {
		t.Errorf("%d calls and %d replies are remembered", waiting, early)
	}
}

// A request that no replier has read is taken back when its caller gives up.
func TestCallIsTakenBack(t *testing.T) {
	d := serve(t, "unix")
	replier, err := d.bus.Open(kbusdev.ReadWrite)
	must(t, err)
	must(t, replier.Bind("$.Slow", kbusdev.Replier))
	c := d.client.Caller()
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { _, err := c.Call(ctx, &kbusdev.Message{Name: "$.Slow"}); failed <- err }()
	for n := 0; n == 0; {
		n, err = replier.NumMessages()
		must(t, err)
	}
	cancel()
	// On a machine that is very busy the word may come too late.
	if err := <-failed; !errors.Is(err, client.ErrMayHaveRun) {
		wantOutcome(t, err, kbusdev.NeverRan, "", context.Canceled)
		if n, err := replier.NumMessages(); n != 0 || err != nil {
			t.Errorf("%d requests are left, %v", n, err)
		}
	}
}

// When the daemon has been restarted a Caller goes on with another Ksock; when it is closed
// it does not.
func TestCallerGoesOn(t *testing.T) {
	first, second := serve(t, "tcp", bus.WithProgramGrace(0)), serve(t, "tcp")
	echo(t, first, "$.Echo", 0)
	echo(t, second, "$.Echo", 0)
	p := newProxy(t, first.address)
	b, err := client.Open(p.address)
	must(t, err)
	defer b.Close()
	c := b.Caller()
	defer c.Close()
	q := &kbusdev.Message{Name: "$.Echo"}
	_, err = c.Call(t.Context(), q)
	must(t, err)
	p.turn(second.address) // which does not know the session
	for {
		_, err := c.Call(t.Context(), q)
		if err == nil && len(second.bus.Stats()) == 2 {
			break
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	}
	must(t, c.Close())
	must(t, c.Close())
	_, err = c.Call(t.Context(), q)
	wantOutcome(t, err, kbusdev.NeverRan, "", net.ErrClosed)
}

// A silentStream loses what is sent on it.
type silentStream struct{ link.Stream }

func (silentStream) Send(link.Frame) error { return nil }

// A call ends with its context also while its Caller's Ksock is being set up.
func TestCallEndsWhileItsKsockIsSetUp(t *testing.T) {
	d := serve(t, "unix", bus.WithProgramGrace(0))
	d.client.Break(func(s link.Stream) link.Stream { return silentStream{s} })
	c := d.client.Caller()
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Call(ctx, &kbusdev.Message{Name: "$.Ask"})
	wantOutcome(t, err, kbusdev.Expired, "", context.DeadlineExceeded)
}
