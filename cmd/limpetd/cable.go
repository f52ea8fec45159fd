package main

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"sync"
)

// A cable carries what is dialled at a socket to another one, until it is cut.
type cable struct {
	net.Listener
	to string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

// newCable lays a cable in folder dir to the socket at to.
func newCable(ctx context.Context, dir, to string) (*cable, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "unix", filepath.Join(dir, "cable.sock"))
	if err != nil {
		return nil, err
	}
	c := &cable{Listener: l, to: to, conns: make(map[net.Conn]struct{})}
	go c.run(ctx) // ends with the listener
	return c, nil
}

func (c *cable) run(ctx context.Context) {
	for {
		near, err := c.Accept()
		if err != nil {
			return
		}
		far, err := new(net.Dialer).DialContext(ctx, "unix", c.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		go c.carry(near, far)
		go c.carry(far, near)
	}
}

// carry copies one way until an end is closed.
func (c *cable) carry(from, to net.Conn) {
	c.mu.Lock()
	if c.cut {
		_ = from.Close()
		_ = to.Close()
	}
	c.conns[from] = struct{}{}
	c.mu.Unlock()
	_, _ = io.Copy(to, from)
	_ = from.Close()
	_ = to.Close()
	c.mu.Lock()
	delete(c.conns, from)
	c.mu.Unlock()
}

// set cuts the cable, with every connection, or mends it.
func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for conn := range c.conns {
		if cut {
			_ = conn.Close()
		}
	}
}
