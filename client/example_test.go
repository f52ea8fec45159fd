package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/server"
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
	node, _ := limpet.NewNode(membus.New(), 1, slog.New(slog.DiscardHandler))
	srv, _ := server.New(server.Config{Node: node})
	l, err := sockaddr.Listen(ctx, sockaddr.Address{Network: "unix", Address: api}, sockaddr.Config{})
	if err != nil {
		panic(err)
	}
	done := make(chan error)
	go func() { done <- srv.Run(ctx, server.Listeners{API: []net.Listener{l}}) }()

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
