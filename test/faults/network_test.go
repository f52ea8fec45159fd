package faults

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// settleLimit bounds the waiting for a network whose faults are over.
const settleLimit = time.Minute

// A network is daemons, the cables between them, and the programs on them.
type network struct {
	t       testing.TB
	shape   *shape
	strict  bool // a link's fault loses nothing
	all     bool // announcements cross whether or not anybody is known to listen
	tr      *trace
	nodes   []*node
	cables  []*proxy // by link
	records []string // folders, by node
	streams atomic.Int64

	stay, speak  sync.WaitGroup
	hush, finish context.CancelFunc
}

// newNetwork starts the daemons, each link through a proxy. everything turns interest off.
func newNetwork(t testing.TB, s *shape, kind string, grace time.Duration, everything bool) *network {
	t.Helper()
	n := &network{t: t, shape: s, tr: newTrace(), strict: grace == 0, all: everything}
	listen := make([]string, s.nodes)
	for i := range listen {
		if listen[i] = filepath.Join(t.TempDir(), "link"); kind == "tcp" {
			listen[i] = freePort(t)
		}
	}
	args := make([][]string, s.nodes)
	records := make([]string, s.nodes)
	for i := range args {
		records[i] = t.TempDir()
		if args[i] = []string{"--listen", listen[i], "--record-decisions", records[i], "--record-size", "64", "--record-file-size", "1"}; grace != 0 {
			args[i] = append(args[i], "--grace", grace.String())
		}
		if everything {
			args[i] = append(args[i], "--interest", "off")
		}
	}
	for _, ends := range s.links {
		_, front := localAddress(t, kind)
		p := newProxy(t, kind, front, listen[ends[1]])
		n.cables = append(n.cables, p)
		args[ends[0]] = append(args[ends[0]], "--connect", p.Address)
	}
	for i, a := range args {
		n.nodes = append(n.nodes, newNode(t, i, a...))
	}
	n.records = records
	var all sync.WaitGroup
	for _, node := range n.nodes {
		all.Go(func() {
			if err := node.start(); err != nil {
				t.Error(err)
			}
		})
	}
	if all.Wait(); t.Failed() {
		t.FailNow()
	}
	return n
}

// ports are those given to daemons, by this process.
var ports sync.Map

// freePort gives an address to listen at, again after each kill. On Linux it is one
// that no connection of another's has as its own end, for those are at 127.0.0.1.
func freePort(t testing.TB) string {
	t.Helper()
	host := "127.0.0.1:0"
	if runtime.GOOS == "linux" {
		host = "127.0.0.2:0"
	}
	for {
		l, err := net.Listen("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		_ = l.Close()
		if _, taken := ports.LoadOrStore(address, true); !taken {
			return address
		}
	}
}

// populate starts the programs, and returns when all of them work.
func (n *network) populate(with func(p *programs)) {
	ctx, finish := context.WithCancel(n.t.Context())
	talk, hush := context.WithCancel(ctx)
	n.finish, n.hush = finish, hush
	for i, node := range n.nodes {
		p := &programs{tr: n.tr, node: node, streams: &n.streams}
		for j := range n.nodes {
			if j != i {
				p.targets = append(p.targets, j)
			}
		}
		with(p)
		p.run(ctx, talk, &n.stay, &n.speak)
	}
	n.settle()
}

// settle waits until every program hears and answers every other, and notes it.
func (n *network) settle() {
	mark := n.tr.now()
	limit := time.NewTimer(settleLimit)
	defer limit.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		missing := n.tr.worksSince(n.shape.nodes, mark)
		if len(missing) == 0 {
			n.tr.settle(n.tr.now())
			return
		}
		select {
		case <-look.C:
		case <-limit.C:
			n.tr.strange(fmt.Sprintf("%v after the faults these pairs do not hear, or answer, each other: %v", settleLimit, missing))
			return
		}
	}
}

// depopulate has the programs end: what was sent is heard, what was asked answered. What was
// dropped is told and counted alike.
func (n *network) depopulate() {
	n.hush()
	n.speak.Wait()
	limit := time.NewTimer(settleLimit)
	defer limit.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting && !n.tr.lastOnesHeard(n.shape.nodes); {
		select {
		case <-look.C:
		case <-limit.C:
			waiting = false // the check tells what is missing
		}
	}
	n.finish()
	n.stay.Wait()
	n.checkDrops()
}

// apply begins a fault, and gives what ends it.
func (n *network) apply(f fault) (over func()) {
	if !n.strict && !f.onNode() {
		n.tr.outage(-1, f.target) // until all works again
	}
	switch f.kind {
	case kill:
		found := n.tr.outage(f.target, -1)
		n.nodes[f.target].kill()
		n.tr.killed(f.target)
		return func() {
			if err := n.nodes[f.target].start(); err != nil {
				n.tr.strange(err.Error())
			}
			// With interest its new listeners may miss what is sent until the others know
			// of them, and that takes longer while links are cut.
			if n.all {
				found()
			}
		}
	case stop:
		if !n.strict || f.lasts >= longerThanNoticed {
			n.tr.outage(f.target, -1)
		}
		if f.lasts >= longerThanNoticed {
			n.nodes[f.target].life().excused.Store(true)
		}
		n.nodes[f.target].signal(syscall.SIGSTOP)
		return func() { n.nodes[f.target].signal(syscall.SIGCONT) }
	case fin, rst:
		n.cables[f.target].cut(f.kind == rst)
	case hole, drop, slow:
		for _, way := range f.ways {
			n.cables[f.target].set(way, map[kind]mode{hole: holdBack, drop: throwOff, slow: trickle}[f.kind], f.rate)
		}
	default: // none of a link's
	}
	return n.cables[f.target].clean
}
