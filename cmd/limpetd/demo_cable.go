package main

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// A cable is a Unix socket that leads to another one, and can be cut.
type cable struct {
	at, to   string
	listener net.Listener

	mu    sync.Mutex
	isCut bool
	conns map[net.Conn]struct{}
	all   sync.WaitGroup
}

// newCable returns a cable from the socket at to the socket to; close ends it.
func newCable(at, to string) (*cable, error) {
	l, err := net.Listen("unix", at) //nolint:noctx // it does not wait
	if err != nil {
		return nil, fmt.Errorf("making the cable of the demo: %w", err)
	}
	c := &cable{at: at, to: to, listener: l, conns: make(map[net.Conn]struct{})}
	c.all.Go(c.run)
	return c, nil
}

func (c *cable) run() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", c.to) //nolint:noctx // a Unix socket answers at once
		if err != nil {
			_ = near.Close()
			continue
		}
		if c.join(near, far) {
			c.all.Go(func() { c.carry(near, far) })
			c.all.Go(func() { c.carry(far, near) })
		}
	}
}

// join notes a connection. It returns false, and closes both ends, while the cable is
// cut.
func (c *cable) join(ends ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range ends {
		if c.isCut {
			_ = e.Close()
		} else {
			c.conns[e] = struct{}{}
		}
	}
	return !c.isCut
}

func (c *cable) carry(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range []net.Conn{from, to} {
		delete(c.conns, e)
		_ = e.Close()
	}
}

// cut breaks every connection, and lets none through until mend.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for e := range c.conns {
		_ = e.Close()
	}
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = false
}

func (c *cable) close() {
	_ = c.listener.Close()
	c.cut()
	c.all.Wait()
}
