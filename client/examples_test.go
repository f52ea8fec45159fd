package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// withBus runs f with the bus of a daemon in this process; Example shows how.
func withBus(f func(ctx context.Context, bus *client.Bus) error) {
	ctx, cancel := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer os.RemoveAll(dir)
	api := filepath.Join(dir, "api")
	d, err := daemon.Open(ctx, daemon.Config{Bus: daemon.Embedded, API: &sockaddr.Address{Network: "unix", Address: api}})
	check(err)
	done := make(chan error)
	go func() { done <- d.Run(ctx, nil) }()
	bus, err := client.Open(api)
	check(err)
	check(f(ctx, bus))
	check(bus.Close())
	cancel()
	check(<-done)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// An announcement goes to whoever listens; nobody need.
func ExampleBus() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		id, err := bus.Send(ctx, &kbusdev.Message{Name: "$.Weather.Rain", Data: []byte("from noon")})
		fmt.Println(id.Network, err)
		return nil
	})
	// Output: 0 <nil>
}

// A listener hears what is announced after it was bound.
func ExampleListener() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		l, err := bus.Listen(ctx, client.ListenConfig{Names: []string{"$.Weather.*"}})
		if err != nil {
			return err
		}
		defer l.Close()
		if _, err := bus.Send(ctx, &kbusdev.Message{Name: "$.Weather.Rain", Data: []byte("from noon")}); err != nil {
			return err
		}
		m, err := l.Recv()
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s, %d missed\n", m.Name, m.Data, l.Missed())
		return nil
	})
	// Output: $.Weather.Rain: from noon, 0 missed
}

// With OnlyOnce a message that several names match is heard once.
func ExampleListenConfig() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		l, err := bus.Listen(ctx, client.ListenConfig{Names: []string{"$.Weather.*", "$.Weather.Rain"}, MaxMessages: 10, OnlyOnce: true})
		if err != nil {
			return err
		}
		defer l.Close()
		for _, name := range []string{"$.Weather.Rain", "$.Weather.Sun"} {
			if _, err := bus.Send(ctx, &kbusdev.Message{Name: name}); err != nil {
				return err
			}
		}
		for range 2 {
			m, err := l.Recv()
			if err != nil {
				return err
			}
			fmt.Println(m.Name)
		}
		return nil
	})
	// Output:
	// $.Weather.Rain
	// $.Weather.Sun
}

// Many calls at a time go over one stream.
func ExampleCaller() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		r, err := bus.Serve(ctx, 0, "$.Double")
		if err != nil {
			return err
		}
		defer r.Close()
		go func() {
			for {
				q, err := r.Recv()
				if err != nil || r.Reply(q, "", append(q.Data, q.Data...)) != nil {
					return
				}
			}
		}()
		caller := bus.Caller()
		defer caller.Close()
		words := []string{"ho", "hum"}
		answers := make([]string, len(words))
		var all sync.WaitGroup
		for i, word := range words {
			all.Go(func() {
				reply, err := caller.Call(ctx, &kbusdev.Message{Name: "$.Double", Data: []byte(word)})
				check(err)
				answers[i] = string(reply.Data)
			})
		}
		all.Wait()
		fmt.Println(answers)
		return nil
	})
	// Output: [hoho humhum]
}

// A replier answers each request that it gets.
func ExampleReplier() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		r, err := bus.Serve(ctx, 0, "$.Double")
		if err != nil {
			return err
		}
		defer r.Close()
		go func() {
			for {
				q, err := r.Recv()
				if err != nil || r.Reply(q, "", append(q.Data, q.Data...)) != nil {
					return
				}
			}
		}()
		reply, err := bus.Call(ctx, &kbusdev.Message{Name: "$.Double", Data: []byte("ho")})
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", reply.Data)
		return nil
	})
	// Output: hoho
}

// A request without an answer tells whether it is safe to repeat.
func ExampleNoAnswerError() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		r, err := bus.Serve(ctx, 0, "$.Oracle")
		if err != nil {
			return err
		}
		go func() {
			_, _ = r.Recv()
			r.Close() // it has read the request, and goes away
		}()
		_, err = bus.Call(ctx, &kbusdev.Message{Name: "$.Oracle"})
		var none *client.NoAnswerError
		if errors.As(err, &none) {
			fmt.Println(none.Outcome, none.Reason)
		}
		switch {
		case errors.Is(err, client.ErrNeverRan): // ErrExpired is ErrNeverRan too
			fmt.Println("again")
		case errors.Is(err, client.ErrMayHaveRun):
			fmt.Println(err)
		}
		_, err = bus.Call(ctx, &kbusdev.Message{Name: "$.Nobody"})
		fmt.Println(err)
		fmt.Println(errors.Is(err, client.ErrNeverRan), errors.Is(err, syscall.EADDRNOTAVAIL))
		return nil
	})
	// Output:
	// MAY_HAVE_RUN Replier.Ignored
	// no answer to $.Oracle: its replier went away without an answer; it may have run
	// no replier is bound to $.Nobody on this bus
	// true true
}

// What the bus refuses is an error that carries its errno.
func ExampleStatusError() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		r, err := bus.Serve(ctx, 0, "$.Clock")
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = bus.Serve(ctx, 0, "$.Clock")
		var status *client.StatusError
		if errors.As(err, &status) {
			fmt.Println(status.Code, "-", status.Message)
		}
		fmt.Println(errors.Is(err, syscall.EADDRINUSE))
		return nil
	})
	// Output:
	// AlreadyExists - another replier is bound to $.Clock on this bus
	// true
}

// A watch tells what is there, and then what comes and goes.
func ExampleWatch() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		w, err := bus.WatchBindings(ctx, "$.Weather.*")
		if err != nil {
			return err
		}
		defer w.Close()
		if _, err := w.Recv(); err != nil { // nothing yet
			return err
		}
		l, err := bus.Listen(ctx, client.ListenConfig{Names: []string{"$.Weather.Rain"}})
		if err != nil {
			return err
		}
		for range 2 {
			c, err := w.Recv()
			if err != nil {
				return err
			}
			for _, b := range c.Here {
				fmt.Println(b.Role, b.Name)
				l.Close()
			}
			for _, b := range c.Gone {
				fmt.Println("gone:", b.Name)
			}
		}
		return nil
	})
	// Output:
	// listener $.Weather.Rain
	// gone: $.Weather.Rain
}

// A program that keeps what it is told forgets it at a restart.
func ExampleChanges() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		l, err := bus.Listen(ctx, client.ListenConfig{Names: []string{"$.A", "$.B"}})
		if err != nil {
			return err
		}
		defer l.Close()
		w, err := bus.WatchBindings(ctx, "")
		if err != nil {
			return err
		}
		defer w.Close()
		bound := make(map[kbusdev.Binding]int) // one Ksock may bind a name twice
		for {
			c, err := w.Recv()
			if err != nil {
				return err
			}
			if c.Restart {
				clear(bound)
			}
			for _, b := range c.Gone {
				bound[b]--
			}
			for _, b := range c.Here {
				bound[b]++
			}
			if c.Whole {
				fmt.Println(len(bound), "bindings")
				return nil
			}
		}
	})
	// Output: 2 bindings
}

// A program waits for a replier, wherever it is.
func ExampleReplierBinding() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		r, err := bus.Serve(ctx, 0, "$.Clock.*")
		if err != nil {
			return err
		}
		defer r.Close()
		w, err := bus.WatchRepliers(ctx, "$.Clock.Now")
		if err != nil {
			return err
		}
		defer w.Close()
		for {
			c, err := w.Recv()
			if err != nil {
				return err
			}
			for _, r := range c.Here {
				fmt.Printf("%s, link %q\n", r.Name, r.Link)
				return nil
			}
		}
	})
	// Output: $.Clock.*, link ""
}
