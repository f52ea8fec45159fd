package limpet_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
)

// A topology is pairs of buses that are linked.
type topology struct {
	name  string
	buses int
	links [][2]int
	loop  bool
}

var topologies = []topology{
	{"pair", 2, [][2]int{{0, 1}}, false},
	{"chain of three", 3, [][2]int{{0, 1}, {1, 2}}, false},
	{"chain of four", 4, [][2]int{{0, 1}, {1, 2}, {2, 3}}, false},
	{"star", 5, [][2]int{{0, 1}, {0, 2}, {0, 3}, {0, 4}}, false},
	{"tree", 7, [][2]int{{0, 1}, {0, 2}, {1, 3}, {1, 4}, {2, 5}, {2, 6}}, false},
	{"loop of three", 3, [][2]int{{0, 1}, {1, 2}, {2, 0}}, true},
	{"two links side by side", 2, [][2]int{{0, 1}, {0, 1}}, true},
	{"loop with a tail", 4, [][2]int{{0, 1}, {1, 2}, {2, 3}, {3, 1}}, true},
}

// seeds gives the seeds to try: one by chance, or those in LIMPET_SEEDS.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	if list := os.Getenv("LIMPET_SEEDS"); list != "" {
		var all []uint64
		for _, s := range strings.Split(list, ",") {
			n, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, n)
		}
		return all
	}
	return []uint64{1, 2, 3, rand.Uint64()}
}

// Random traffic of ordinary and hostile programs, over links of both protocols: each announcement is heard
// once by each listener, each accepted request has exactly one reply and from the
// right program, and there is no storm.
func TestRandomTraffic(t *testing.T) {
	for _, top := range topologies {
		for _, seed := range seeds(t) {
			t.Run(fmt.Sprintf("%s/seed=%d", top.name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { newWorld(t, top, seed).run() })
			})
		}
	}
}

type world struct {
	t     *testing.T
	r     *rand.Rand
	top   topology
	buses []*membus.Bus
	nodes []*limpet.Node

	listeners []*hearer
	repliers  []*answerer
	askers    []*questioner
	hostile   []kbusdev.Ksock
	tapped    []*tapped      // by bus
	sent      map[string]int // plain announcements: data -> bus
	sends     int
}

type hearer struct {
	bus   int
	k     kbusdev.Ksock
	heard map[string]int
}

type answerer struct {
	name   string // bound
	bus    int
	k      kbusdev.Ksock
	manner int
	owed   []*kbusdev.Message
}

type questioner struct {
	bus  int
	k    kbusdev.Ksock
	open map[kbusdev.MsgID]string // request -> name/data
	last map[string]*kbusdev.Message
}

func newWorld(t *testing.T, top topology, seed uint64) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 99)), top: top, sent: make(map[string]int)}
	for i := range top.buses {
		bus := membus.New(membus.WithMaxMessages(5000))
		w.buses = append(w.buses, bus)
		n := node(t, bus, uint32(i+1))
		if top.loop {
			limpet.AllowLoops(n)
		}
		w.nodes = append(w.nodes, n)
		w.tapped = append(w.tapped, tapAll(t, n))
	}
	protocol := rand.New(rand.NewPCG(seed, 7))
	for _, l := range top.links {
		joining := join
		if protocol.IntN(2) == 0 {
			joining = joinClassic
		}
		joining(t, w.nodes[l[0]], w.nodes[l[1]], limpet.Config{})
	}
	w.settle()
	for b := range top.buses {
		l := &hearer{bus: b, k: open(t, w.buses[b]), heard: make(map[string]int)}
		w.must(l.k.Bind("$.News.*", kbusdev.Listener))
		w.listeners = append(w.listeners, l)
		w.askers = append(w.askers, &questioner{bus: b, k: open(t, w.buses[b]), open: make(map[kbusdev.MsgID]string), last: make(map[string]*kbusdev.Message)})
		w.hostile = append(w.hostile, open(t, w.buses[b]))
		w.must(second(w.hostile[b].MaxMessages(3))) // a tiny queue
		w.must(w.hostile[b].Bind("$.*", kbusdev.Listener))
	}
	w.settle() // who has just begun to listen may miss what is sent far away
	return w
}

func open(t testing.TB, b kbusdev.Bus) kbusdev.Ksock {
	t.Helper()
	k, err := b.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func second[T any](_ T, err error) error { return err }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) settle() { synctest.Wait() }

// pass lets time go by: timers, graces and retries run out.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (w *world) run() {
	for step := range 600 {
		switch n := w.r.IntN(20); {
		case n < 6:
			w.announce(step)
		case n < 11:
			w.ask(step)
		case n < 14:
			w.answerSome()
		case n < 16:
			w.newReplier()
		case n < 17:
			w.dropReplier()
		default:
			w.misbehave()
		}
		if w.r.IntN(3) == 0 {
			w.settle()
		}
		w.collect()
	}
	w.settle()
	w.check()
}

func (w *world) announce(step int) {
	b := w.r.IntN(len(w.buses))
	data := fmt.Sprintf("news %d", step)
	m := &kbusdev.Message{Name: "$.News.N" + strconv.Itoa(w.r.IntN(3)), Data: []byte(data), Flags: kbusdev.Flags(w.r.IntN(2)) * kbusdev.Urgent}
	w.must(second(w.askers[b].k.Send(w.t.Context(), m)))
	w.sent[data] = b
	w.sends++
}

func (w *world) ask(step int) {
	q := w.askers[w.r.IntN(len(w.askers))]
	name := "$.Ask.R" + strconv.Itoa(w.r.IntN(6))
	data := fmt.Sprintf("%s ask %d", name, step)
	m := &kbusdev.Message{Name: name, Data: []byte(data), Flags: kbusdev.WantReply}
	if last := q.last[name]; last != nil && w.r.IntN(2) == 0 {
		m.To, m.FinalTo = last.From, last.OrigFrom
	}
	w.sends++
	id, err := q.k.Send(w.t.Context(), m)
	if err != nil {
		return // not accepted: no reply is owed
	}
	q.open[id] = data
}

func (w *world) newReplier() {
	if len(w.repliers) > 12 {
		return
	}
	b := w.r.IntN(len(w.buses))
	name := "$.Ask.R" + strconv.Itoa(w.r.IntN(6))
	if w.r.IntN(6) == 0 {
		name = []string{"$.Ask.*", "$.Ask.%"}[w.r.IntN(2)]
	}
	a := &answerer{name: name, bus: b, k: open(w.t, w.buses[b]), manner: w.r.IntN(6)}
	if a.k.Bind(name, kbusdev.Replier) != nil {
		w.must(a.k.Close())
		return
	}
	w.repliers = append(w.repliers, a)
}

func (w *world) dropReplier() {
	if len(w.repliers) == 0 {
		return
	}
	i := w.r.IntN(len(w.repliers))
	a := w.repliers[i]
	if w.r.IntN(2) == 0 {
		_ = a.k.Unbind(a.name, kbusdev.Replier) // EAGAIN when a hostile listener's queue is full
	}
	w.must(a.k.Close())
	w.repliers = append(w.repliers[:i], w.repliers[i+1:]...)
}

// drain reads what is queued now.
func (w *world) drain(k kbusdev.Ksock, f func(*kbusdev.Message)) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		m, err := k.Recv(ctx)
		if errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) {
			return
		}
		w.must(err)
		f(m)
	}
}

func (w *world) answerSome() {
	for _, a := range w.repliers {
		w.drain(a.k, func(m *kbusdev.Message) {
			if m.WantsUsToReply() {
				a.owed = append(a.owed, m)
			}
		})
		for len(a.owed) > 0 && w.r.IntN(4) > 0 {
			q := a.owed[0]
			a.owed = a.owed[1:]
			reply := &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: []byte("reply to " + string(q.Data))}
			switch a.manner {
			case 1: // copies the request's id
				reply.ID = q.ID
			case 2:
				reply.Flags = kbusdev.AllOrFail
			case 3:
				reply.Flags = kbusdev.AllOrWait | kbusdev.Urgent
			case 4: // wants a reply to its reply
				reply.Flags = kbusdev.WantReply
			}
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			_, err := a.k.Send(ctx, reply)
			cancel()
			w.sends++
			if err != nil && reply.Flags != 0 { // try again as an ordinary program
				reply.Flags = 0
				_, _ = a.k.Send(w.t.Context(), reply)
			}
		}
	}
}

// misbehave sends what no ordinary program would.
func (w *world) misbehave() {
	k := w.hostile[w.r.IntN(len(w.hostile))]
	// Explicit ids are not those of real messages: who forges one of those can have
	// it taken for the message, or the message for it.
	m := &kbusdev.Message{Name: "$.Odd.X", Data: []byte("odd")}
	switch w.r.IntN(7) {
	case 0:
		m.ID = kbusdev.MsgID{Network: uint32(w.r.IntN(9)), Serial: 1e6 + uint32(w.r.IntN(5))}
	case 1:
		m.Name, m.Flags, m.ID = "$.Ask.R1", kbusdev.WantReply, kbusdev.MsgID{Network: uint32(w.r.IntN(9)), Serial: 1e6 + uint32(w.r.IntN(5))}
	case 2:
		m.Name, m.Data, m.Event = kbusdev.NameReplierBindEvent, nil, &kbusdev.BindEvent{Bound: true, Binder: 1, Name: "$.Forged"}
	case 3:
		m.InReplyTo, m.To = kbusdev.MsgID{Network: uint32(w.r.IntN(3)), Serial: uint32(w.r.IntN(50))}, kbusdev.KsockID(w.r.IntN(8))
	case 4:
		m.Flags = []kbusdev.Flags{kbusdev.AllOrFail, kbusdev.Urgent, kbusdev.WantYouToReply, kbusdev.Synthetic}[w.r.IntN(4)]
	case 5:
		m.Name, m.Flags, m.To = "$.Ask.R2", kbusdev.WantReply, kbusdev.KsockID(w.r.IntN(9))
		m.FinalTo = kbusdev.Address{Network: uint32(w.r.IntN(5)), Local: kbusdev.KsockID(w.r.IntN(9))}
	case 6:
		m.OrigFrom = kbusdev.Address{Network: uint32(w.r.IntN(5)), Local: 3}
	}
	w.sends++
	_, _ = k.Send(w.t.Context(), m)
	if w.r.IntN(4) == 0 {
		w.drain(k, func(*kbusdev.Message) {})
	}
}

// collect reads what has come for listeners and askers.
func (w *world) collect() {
	for _, x := range w.tapped {
		x.take()
	}
	for _, l := range w.listeners {
		w.drain(l.k, func(m *kbusdev.Message) { l.heard[string(m.Data)]++ })
	}
	for _, q := range w.askers {
		w.drain(q.k, func(m *kbusdev.Message) {
			data, ok := q.open[m.InReplyTo]
			if !ok {
				w.t.Fatalf("network %d: a reply to nothing that is open: %+v", q.bus+1, m)
			}
			delete(q.open, m.InReplyTo)
			if strings.HasPrefix(m.Name, "$.KBUS.") {
				return
			}
			if string(m.Data) != "reply to "+data {
				w.t.Fatalf("network %d: %q is answered %q", q.bus+1, data, m.Data)
			}
			q.last[m.Name] = m
		})
	}
}

func (w *world) check() {
	for len(w.repliers) > 0 {
		w.dropReplier()
	}
	for _, k := range w.hostile {
		w.must(k.Close())
	}
	w.pass(10 * time.Second)
	w.collect()
	for _, q := range w.askers {
		for id, data := range q.open {
			w.t.Errorf("network %d: request %v (%s) has no reply", q.bus+1, id, data)
		}
	}
	for data, from := range w.sent {
		for _, l := range w.listeners {
			if n := l.heard[data]; n != 1 {
				w.t.Errorf("network %d heard %q of network %d %d times", l.bus+1, data, from+1, n)
			}
		}
	}
	for i, n := range w.nodes {
		w.tapped[i].check(w.t, n)
		for _, l := range n.Peerings() {
			st := l.Status()
			c := st.Counts
			if st.State != limpet.Up {
				w.t.Errorf("network %d: link %s is down: %v", i+1, st.Name, st.LastErr)
			}
			if c.Open != 0 || c.Requests != c.Replies+c.Synthetic || c.FromBusInFlight != 0 || c.FromPeerInFlight != 0 || c.Busy != 0 {
				w.t.Errorf("network %d: %s is not at rest: %+v", i+1, st.Name, c)
			}
			read := c.FromBus
			if w.top.loop {
				// In a loop, which nodes refuse, an unbind event may chase its bind event
				// for many rounds.
				read -= c.FromBusEnded["bind_event_used"] + c.FromBusEnded["own_bind_event"]
			}
			if most := uint64(w.sends * 8); read > most {
				w.t.Errorf("network %d: %s has read %d messages of %d sends: a storm: %v", i+1, st.Name, read, w.sends, c.FromBusEnded)
			}
		}
	}
}
