package faults

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A mode is what a proxy does with the bytes of one direction.
type mode int

const (
	passOn   mode = iota
	holdBack      // stop reading: bytes wait in the sender's and the kernel's buffers
	throwOff      // read and throw away: the sender's kernel has them acknowledged
	trickle       // at a rate
)

// Directions through a proxy.
const (
	toBack  = iota // from who dialled
	toFront        // to who dialled
)

const (
	copyBuffer = 32 << 10
	trickTick  = 20 * time.Millisecond
	finLimit   = time.Second // how long the ends have to answer a FIN
)

// A proxy stands on the cable between two daemons. It holds at most copyBuffer
// bytes of a connection's direction.
type proxy struct {
	Address string // where to dial
	back    net.Addr
	front   net.Listener
	all     sync.WaitGroup

	mu    sync.Mutex
	flows map[*flow]bool
	gates [2]gate
	down  bool // new connections are closed
	ended bool
}

type gate struct {
	mode    mode
	rate    int           // bytes a second, of trickle
	changed chan struct{} // closed at the next change
}

// newProxy listens at address, "127.0.0.1:0" or a path, and dials back.
func newProxy(t testing.TB, network, address, back string) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Address: l.Addr().String(), back: addr{network, back}, front: l, flows: make(map[*flow]bool)}
	for i := range p.gates {
		p.gates[i].changed = make(chan struct{})
	}
	p.all.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

type addr struct{ network, address string }

func (a addr) Network() string { return a.network }
func (a addr) String() string  { return a.address }

func (p *proxy) accept() {
	for {
		conn, err := p.front.Accept()
		if err != nil {
			return // closed
		}
		p.all.Go(func() { p.join(conn) })
	}
}

// join carries one connection until it ends.
func (p *proxy) join(front net.Conn) {
	f := &flow{p: p, ends: [2]net.Conn{front, nil}, gone: make(chan struct{})}
	if !p.mayDial() {
		f.reset()
		return
	}
	back, err := new(net.Dialer).DialContext(context.Background(), p.back.Network(), p.back.String())
	if err != nil {
		f.reset()
		return
	}
	f.ends[1] = back
	if !p.add(f) {
		f.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { f.copy(toBack) })
	both.Go(func() { f.copy(toFront) })
	both.Wait()
	f.end((net.Conn).Close) // after an EOF both ways; else it has ended already
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.flows, f)
}

func (p *proxy) mayDial() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.down && !p.ended
}

func (p *proxy) add(f *flow) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || p.ended {
		return false
	}
	p.flows[f] = true
	return true
}

// cut ends every connection, with RST (a TCP proxy's) or FIN, and has new ones
// refused until clean.
func (p *proxy) cut(rst bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for f := range p.flows {
		if rst {
			f.reset()
		} else {
			f.finish()
		}
	}
}

// set changes what is done with the bytes of a direction.
func (p *proxy) set(direction int, m mode, rate int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setLocked(direction, m, rate)
}

func (p *proxy) setLocked(direction int, m mode, rate int) {
	g := &p.gates[direction]
	close(g.changed)
	*g = gate{mode: m, rate: rate, changed: make(chan struct{})}
}

// clean mends the cable. Connections that lost bytes are reset, as they cannot go on.
func (p *proxy) clean() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
	for f := range p.flows {
		if f.torn {
			f.reset()
		}
	}
	for d := range p.gates {
		p.setLocked(d, passOn, 0)
	}
}

// leak has the connections that are there now lose all that is sent on them, for as
// long as they last, and no others.
func (p *proxy) leak() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for f := range p.flows {
		f.leaking = true
	}
}

func (p *proxy) close() {
	_ = p.front.Close()
	p.mu.Lock()
	p.ended = true
	for f := range p.flows {
		f.reset()
	}
	p.mu.Unlock()
	p.all.Wait()
}

// gate says what to do with bytes that f has read. That they are lost is noted at
// once, so that clean cannot come in between and let the connection go on.
func (p *proxy) gate(f *flow, direction int) gate {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.gates[direction]
	if f.leaking {
		g.mode = throwOff
	}
	f.torn = f.torn || g.mode == throwOff
	return g
}

// A flow is one connection through a proxy.
type flow struct {
	p     *proxy
	ends  [2]net.Conn // front, back
	gone  chan struct{}
	once  sync.Once
	ended atomic.Bool // FINs are sent: what still comes is thrown away

	// Guarded by the proxy's lock.
	torn    bool // bytes were lost: it must not go on
	leaking bool // all bytes are
}

// end closes both ends. Again it does nothing.
func (f *flow) end(closing func(net.Conn) error) {
	f.once.Do(func() {
		close(f.gone)
		for _, end := range f.ends {
			if end != nil {
				_ = closing(end)
			}
		}
	})
}

// reset ends it with RST, where there is such a thing.
func (f *flow) reset() { f.end(reset) }

func reset(conn net.Conn) error {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return conn.Close()
}

// finish tells both ends that no more comes, and waits for theirs within finLimit.
func (f *flow) finish() {
	f.ended.Store(true)
	for _, end := range f.ends {
		closeWrite(end)
	}
	time.AfterFunc(finLimit, f.reset)
}

func closeWrite(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

func (f *flow) copy(direction int) {
	from, to := f.ends[direction], f.ends[1-direction]
	buf := make([]byte, copyBuffer)
	for {
		n, err := from.Read(buf)
		if !f.carry(direction, to, buf[:n], err != nil) {
			return
		}
		switch {
		case errors.Is(err, io.EOF):
			closeWrite(to)
			return
		case err != nil:
			f.reset()
			return
		}
	}
}

// carry does with some bytes as the gate says, and reports whether the flow goes
// on. The news of the end, last, is held up or lost as bytes are.
func (f *flow) carry(direction int, to net.Conn, data []byte, last bool) bool {
	for {
		g := f.p.gate(f, direction)
		switch {
		case f.ended.Load():
			return true
		case g.mode == throwOff:
			if last {
				<-f.gone
				return false
			}
			return true
		case g.mode == holdBack:
			if !f.wait(g.changed, nil) {
				return false
			}
		case g.mode == trickle && len(data) > 0:
			piece := min(len(data), max(1, g.rate*int(trickTick)/int(time.Second)))
			if _, err := to.Write(data[:piece]); err != nil {
				f.reset()
				return false
			}
			data = data[piece:]
			tick := time.NewTimer(trickTick)
			ok := f.wait(g.changed, tick.C)
			tick.Stop()
			if !ok {
				return false
			}
		default:
			if _, err := to.Write(data); err != nil && len(data) > 0 {
				f.reset()
				return false
			}
			return true
		}
	}
}

// wait waits for a change or a tick, and reports false when the flow is gone.
func (f *flow) wait(changed chan struct{}, tick <-chan time.Time) bool {
	select {
	case <-changed:
		return true
	case <-tick:
		return true
	case <-f.gone:
		return false
	}
}
