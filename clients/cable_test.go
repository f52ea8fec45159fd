package clients

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A cable is a Unix socket that leads to another one, and can be cut.
type cable struct {
	path, to string
	front    net.Listener
	all      sync.WaitGroup

	mu   sync.Mutex
	away bool // new connections are refused
	ends map[net.Conn]bool
}

func newCable(t testing.TB, path, to string) *cable {
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{path: path, to: to, front: l, ends: make(map[net.Conn]bool)}
	c.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			c.all.Go(func() { c.join(t, conn) })
		}
	})
	return c
}

func (c *cable) join(t testing.TB, front net.Conn) {
	defer front.Close()
	back, err := new(net.Dialer).DialContext(t.Context(), "unix", c.to)
	if err != nil {
		return
	}
	defer back.Close()
	if !c.keep(front, back) {
		return
	}
	defer c.forget(front, back)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{front, back}, {back, front}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = front.Close()
			_ = back.Close()
		})
	}
	both.Wait()
}

func (c *cable) keep(ends ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return false
	}
	for _, end := range ends {
		c.ends[end] = true
	}
	return true
}

func (c *cable) forget(ends ...net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range ends {
		delete(c.ends, end)
	}
}

// cut breaks every connection; away has new ones refused until mend.
func (c *cable) cut(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
	for end := range c.ends {
		_ = end.Close()
	}
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = false
}

func (c *cable) close() {
	_ = c.front.Close()
	c.cut(true)
	c.all.Wait()
}
