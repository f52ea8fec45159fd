package client_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A program asks another on the bus of a daemon. Here the daemon is in the same
// process; a real one is limpetd, at client.DefaultAPIAddress.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	api := filepath.Join(dir, "api")
	d, err := daemon.Open(ctx, daemon.Config{Bus: daemon.Embedded, API: &sockaddr.Address{Network: "unix", Address: api}})
	if err != nil {
		panic(err)
	}
	done := make(chan error)
	go func() { done <- d.Run(ctx, nil) }()

	bus, err := client.Open(api)
	if err != nil {
		panic(err)
	}
	replier, err := bus.Serve(ctx, 0, "$.Clock.*")
	if err != nil {
		panic(err)
	}
	go func() {
		q, err := replier.Recv()
		if err == nil {
			_ = replier.Reply(q, "", []byte("noon, to "+string(q.Data)))
		}
	}()
	reply, err := bus.Call(ctx, &kbusdev.Message{Name: "$.Clock.Now", Data: []byte("whom it may concern")})
	fmt.Println(string(reply.Data), err)

	_ = bus.Close()
	cancel()
	fmt.Println(<-done)
	// Output:
	// noon, to whom it may concern <nil>
	// <nil>
}
