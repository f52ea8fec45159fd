package guard

import (
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"
)

// What is counted beside the bounds of Calls.
const (
	boundConnections = "connections"
	boundOfSource    = "connections of one source"
	boundConnecting  = "new connections"
	boundQuiet       = "connections without a call"
	boundGivenUp     = "calls given up"
	boundTaken       = "answers not taken"
)

// A Guard keeps the limits of one or more listeners. It is safe for concurrent use.
type Guard struct {
	limits   Limits
	tally    *Tally
	byMethod map[string]int // index in limits.Calls
	others   int            // that of the methods that are not there; -1 is none

	mu      sync.Mutex
	conns   map[*conn]struct{}
	untaken int   // bytes
	calls   []int // by index in limits.Calls
	sources map[string]*source
}

// A source is who may have so much; see sourceOf.
type source struct {
	conns      int
	connecting Bucket
	givenUp    Bucket
	opening    []Bucket // by index in Limits.Calls
}

// New returns a guard. log gets a line when a bound is reached, about one a minute for each.
func New(limits Limits, log *slog.Logger) *Guard {
	g := &Guard{
		limits:   limits,
		tally:    NewTally(limits.Name, log),
		byMethod: make(map[string]int),
		others:   -1,
		conns:    make(map[*conn]struct{}),
		calls:    make([]int, len(limits.Calls)),
		sources:  make(map[string]*source),
	}
	for i, c := range limits.Calls {
		for _, m := range c.Methods {
			g.byMethod[m] = i
		}
		if len(c.Methods) == 0 {
			g.others = i
		}
	}
	return g
}

// Reached returns how often each bound was reached, of those that were.
func (g *Guard) Reached() map[string]uint64 { return g.tally.Counts() }

// Count counts something else that was refused to those whom the guard is for; Reached has it.
func (g *Guard) Count(what string) { g.tally.Count(what) }

// source returns the source of that name. g.mu is held.
func (g *Guard) source(name string, now time.Time) *source {
	s := g.sources[name]
	if s == nil {
		g.forget(now)
		s = &source{opening: make([]Bucket, len(g.limits.Calls))}
		g.sources[name] = s
	}
	return s
}

// remembered is how many sources without a connection are remembered, about.
const remembered = 4096

// forget forgets sources that have no connection and all they may have. When there are too
// many others they are forgotten as well: whoever has so many addresses gains little.
func (g *Guard) forget(now time.Time) {
	if len(g.sources) < len(g.conns)+remembered {
		return
	}
	maps.DeleteFunc(g.sources, func(_ string, s *source) bool {
		return s.conns == 0 && s.connecting.full(g.limits.Connecting, now) && s.givenUp.full(g.limits.GivenUp, now)
	})
	if len(g.sources) >= len(g.conns)+remembered {
		maps.DeleteFunc(g.sources, func(_ string, s *source) bool { return s.conns == 0 })
	}
}

// Listen returns a listener whose connections keep the limits. What is over them is closed
// as soon as it is accepted. The caller must close it in place of l.
func (g *Guard) Listen(l net.Listener) net.Listener { return &listener{l, g} }

type listener struct {
	net.Listener
	guard *Guard
}

// Accept waits for the next connection that may stay.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if conn := l.guard.admit(c); conn != nil {
			return conn, nil
		}
		_ = c.Close()
	}
}

// admit returns the connection, or nil if it may not stay.
func (g *Guard) admit(inner net.Conn) *conn {
	from := sourceOf(inner)
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.source(from, now)
	bound := ""
	switch {
	case over(len(g.conns), g.limits.Connections):
		bound = boundConnections
	case over(s.conns, g.limits.OfSource):
		bound = boundOfSource
	case !s.connecting.Take(g.limits.Connecting, now):
		bound = boundConnecting
	}
	if bound != "" {
		g.tally.Reach(bound, from)
		return nil
	}
	s.conns++
	c := &conn{Conn: inner, guard: g, source: s, from: from, calls: make([]int, len(g.limits.Calls))}
	g.conns[c] = struct{}{}
	if g.limits.Quiet > 0 {
		c.quiet = time.AfterFunc(g.limits.Quiet, func() { c.cut(boundQuiet) })
	}
	return c
}

func over(now, most int) bool { return most > 0 && now >= most }
