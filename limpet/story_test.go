package limpet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// Helpers for stories: cables between nodes that can be cut, and peers that the test
// plays by hand.

// A cable links two nodes, and dials again 100 ms after it broke, as long as it is
// plugged in.
type cable struct {
	from *limpet.Peering
	to   *limpet.Node
	cfg  limpet.Config // of the side that accepts

	// prepare, unless nil, is given each new pipe before it is used.
	prepare func(*wires)

	stop context.CancelFunc
	done chan struct{}

	mu        sync.Mutex
	now       *wires
	unplugged bool
	why       error // why the dialling side's latest stream ended
}

// lay makes a cable from a new dialled peering of a node, and plugs it in. Both ends
// have the same configuration.
func lay(t testing.TB, from, to *limpet.Node, cfg limpet.Config) *cable {
	t.Helper()
	return layFrom(t, from.NewDialled(fmt.Sprintf("dial %d", to.NetworkID()), cfg, false), to, cfg, nil)
}

func layFrom(t testing.TB, from *limpet.Peering, to *limpet.Node, cfg limpet.Config, prepare func(*wires)) *cable {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &cable{from: from, to: to, cfg: cfg, prepare: prepare, stop: cancel, done: make(chan struct{})}
	go c.run(ctx)
	t.Cleanup(func() { cancel(); <-c.done })
	return c
}

// run keeps the link up.
func (c *cable) run(ctx context.Context) {
	defer close(c.done)
	for ctx.Err() == nil {
		if a, b, to := c.next(); a != nil {
			accepted := make(chan error, 1)
			go func() { accepted <- to.Accept(ctx, b, c.cfg) }()
			why := c.from.Dial(ctx, a, nil)
			<-accepted
			c.mu.Lock()
			c.why = why
			c.mu.Unlock()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// next returns the next pipe, and where it leads; nil while the cable is unplugged.
func (c *cable) next() (a, b *pipeEnd, to *limpet.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unplugged {
		return nil, nil, nil
	}
	a, b = pipe()
	if c.prepare != nil {
		c.prepare(a.wires)
	}
	c.now = a.wires
	return a, b, c.to
}

// ended returns why the dialling side's latest stream ended.
func (c *cable) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// unplug leaves the cable as it is, but has it not dialled again.
func (c *cable) unplug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unplugged = true
}

// cut breaks the pipe that is in use.
func (c *cable) cut() {
	synctest.Wait()
	c.mu.Lock()
	c.now.cut()
	c.mu.Unlock()
	synctest.Wait()
}

// pull unplugs the cable while it is in use.
func (c *cable) pull() {
	c.unplug()
	c.cut()
}

// plug plugs it in again, into another node unless that is nil, and waits until that has
// been noticed.
func (c *cable) plug(to *limpet.Node) {
	c.mu.Lock()
	c.unplugged = false
	if to != nil {
		c.to = to
	}
	c.mu.Unlock()
	pass(200 * time.Millisecond)
}

// pass lets virtual time go by, until nothing runs.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// bubble runs a story in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func isLong() bool { return os.Getenv("LIMPET_TEST") == "long" }

// A puppet is a peer that the test plays by hand, with network id 2. It dials.
type puppet struct {
	t        *testing.T
	node     *limpet.Node
	cfg      limpet.Config
	greeting link.Greeting
	answer   *link.Greeting // what it was answered
	stream   link.Stream
	ended    chan error // why Accept returned

	sent   uint64 // sequence numbers it has used
	heard  uint64 // and those it has received in order
	got    []kbusdev.Message
	frames []link.Frame // the others
}

// newPuppet returns a puppet for a node of network id 1 on a bus. It has not dialled.
func newPuppet(t *testing.T, bus kbusdev.Bus, cfg limpet.Config) *puppet {
	t.Helper()
	return newPuppetOf(t, node(t, bus, 1), cfg)
}

// newPuppetOf returns a puppet for a node.
func newPuppetOf(t *testing.T, n *limpet.Node, cfg limpet.Config) *puppet {
	t.Helper()
	p := &puppet{t: t, node: n, cfg: cfg}
	p.greeting = link.Greeting{
		Version: link.ProtocolVersion, NetworkID: 2, Instance: link.InstanceID{2, 1}, LinkID: "puppet",
		Pattern: "$.*", WindowMessages: 1000, WindowBytes: 1 << 20, Expected: 1,
	}
	return p
}

// dialPuppet is a puppet that has dialled.
func dialPuppet(t *testing.T, bus kbusdev.Bus, cfg limpet.Config) *puppet {
	t.Helper()
	p := newPuppet(t, bus, cfg)
	p.dial()
	return p
}

// tryDial greets the node, and returns why it was refused.
func (p *puppet) tryDial() error {
	p.t.Helper()
	ours, theirs := pipe()
	p.ended = make(chan error, 1)
	ended, ctx := p.ended, p.t.Context()
	go func() { ended <- p.node.Accept(ctx, ours, p.cfg) }()
	p.stream = theirs
	p.t.Cleanup(theirs.cut)
	g := p.greeting
	p.send(&g)
	f, err := theirs.Recv()
	if err != nil {
		p.t.Fatal(err)
	}
	switch f := f.(type) {
	case *link.Error:
		theirs.Close()
		<-ended
		return f
	case *link.Greeting:
		p.answer = f
	default:
		p.t.Fatalf("answered with %T", f)
	}
	synctest.Wait()
	return nil
}

func (p *puppet) dial() {
	p.t.Helper()
	if err := p.tryDial(); err != nil {
		p.t.Fatal(err)
	}
	if p.answer.Session != p.greeting.Session {
		p.sent, p.heard = 0, 0
	}
	p.greeting.Session = p.answer.Session
}

// redial resumes its session on a new stream, after the old one has been cut.
func (p *puppet) redial() {
	p.t.Helper()
	was := p.greeting.Session
	p.greeting.Expected = p.heard + 1
	p.dial()
	if p.answer.Session != was {
		p.t.Fatal("the session was not resumed")
	}
}

// restart makes it another instance, that knows of no session.
func (p *puppet) restart() {
	p.greeting.Instance[1]++
	p.greeting.Session, p.greeting.Expected = link.SessionID{}, 1
}

func (p *puppet) cut() {
	p.stream.(*pipeEnd).cut()
	synctest.Wait()
}

func (p *puppet) send(f link.Frame) {
	p.t.Helper()
	if err := p.stream.Send(f); err != nil {
		p.t.Fatal(err)
	}
}

// take reads a frame, and keeps what it brings. It acknowledges nothing.
func (p *puppet) take() error {
	f, err := p.stream.Recv()
	if err != nil {
		return err
	}
	switch f := f.(type) {
	case *link.Batch:
		if f.First != p.heard+1 {
			p.t.Errorf("a batch starts with %d, expected was %d", f.First, p.heard+1)
		}
		p.heard += uint64(len(f.Messages))
		p.got = append(p.got, f.Messages...)
	case *link.Ping:
	default:
		p.frames = append(p.frames, f)
	}
	return nil
}

// listen reads what comes until nothing does, and pings and acknowledges meanwhile, if
// it is to.
func (p *puppet) listen(ack bool) {
	p.t.Helper()
	end := p.stream.(*pipeEnd)
	for {
		synctest.Wait()
		if len(end.in) == 0 {
			return
		}
		before := p.heard
		if err := p.take(); err != nil {
			return
		}
		if ack && p.heard > before {
			p.send(&link.Ack{Sequence: p.heard})
		}
	}
}

// live lets time go by while it pings, reads and, if it is to, acknowledges.
func (p *puppet) live(d time.Duration, ack bool) {
	p.t.Helper()
	for until := time.Now().Add(d); time.Now().Before(until); {
		p.listen(ack)
		if p.stream.Send(&link.Ping{Received: p.heard}) != nil {
			return
		}
		pass(min(time.Second, time.Until(until)))
	}
	p.listen(ack)
}

// bring sends messages to the limpet.
func (p *puppet) bring(msgs ...kbusdev.Message) {
	p.t.Helper()
	for len(msgs) > 0 {
		n := min(len(msgs), link.MaxBatchMessages)
		p.send(&link.Batch{First: p.sent + 1, Messages: msgs[:n]})
		p.sent += uint64(n)
		msgs = msgs[n:]
	}
	synctest.Wait()
}

// bind tells that its Ksock 5 has bound or unbound names as replier.
func (p *puppet) bind(bound bool, names ...string) {
	p.t.Helper()
	msgs := make([]kbusdev.Message, len(names))
	for i, name := range names {
		msgs[i] = bindEvent(bound, 5, name)
	}
	p.bring(msgs...)
}

func bindEvent(bound bool, binder kbusdev.KsockID, name string) kbusdev.Message {
	return kbusdev.Message{
		ID: kbusdev.MsgID{Network: 2}, Flags: kbusdev.Synthetic | kbusdev.AllOrFail, Name: kbusdev.NameReplierBindEvent,
		Event: &kbusdev.BindEvent{Bound: bound, Binder: binder, Name: name},
	}
}

// named returns the messages of that name that it has got.
func (p *puppet) named(name string) (msgs []kbusdev.Message) {
	for _, m := range p.got {
		if m.Name == name {
			msgs = append(msgs, m)
		}
	}
	return msgs
}

// peering returns the only peering of its node.
func (p *puppet) peering() *limpet.Peering {
	p.t.Helper()
	all := p.node.Peerings()
	if len(all) != 1 {
		p.t.Fatalf("%d peerings", len(all))
	}
	return all[0]
}

func (p *puppet) status() limpet.Status { p.t.Helper(); return p.peering().Status() }

// ending returns why the limpet's side ended; it must have.
func (p *puppet) ending() error {
	p.t.Helper()
	synctest.Wait()
	select {
	case err := <-p.ended:
		return err
	default:
		p.t.Fatal("the stream goes on")
		return nil
	}
}

func sendTo(t *testing.T, k kbusdev.Ksock, m *kbusdev.Message) kbusdev.MsgID {
	t.Helper()
	id, err := k.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func ask(t *testing.T, k kbusdev.Ksock, name string) kbusdev.MsgID {
	t.Helper()
	return sendTo(t, k, &kbusdev.Message{Name: name, Flags: kbusdev.WantReply})
}

func bind(t testing.TB, k kbusdev.Ksock, name string, as kbusdev.Role) {
	t.Helper()
	if err := k.Bind(name, as); err != nil {
		t.Fatalf("binding %s: %v", name, err)
	}
}

// received waits for a message, for a minute.
func received(t *testing.T, k kbusdev.Ksock) *kbusdev.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := k.Recv(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// queuedOn returns what waits in a Ksock.
func queuedOn(t *testing.T, k kbusdev.Ksock) (msgs []*kbusdev.Message) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		m, err := k.Recv(ctx)
		if errors.Is(err, context.Canceled) {
			return msgs
		}
		if err != nil {
			t.Fatal(err)
		}
		msgs = append(msgs, m)
	}
}

// boundOn counts the repliers bound on a bus.
func boundOn(t *testing.T, bus *membus.Bus) (n int) {
	t.Helper()
	all, err := bus.Bindings()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		if b.Role == kbusdev.Replier {
			n++
		}
	}
	return n
}

// lawful checks that the counts of all peerings add up; atRest, also that nothing is
// under way.
func lawful(t *testing.T, atRest bool, nodes ...*limpet.Node) {
	t.Helper()
	for _, n := range nodes {
		for _, p := range n.Peerings() {
			c := p.Status().Counts
			if c.Requests != c.Replies+c.Synthetic+c.Open {
				t.Errorf("network %d, %s: %d requests, %d replies, %d synthetic, %d open", n.NetworkID(), p, c.Requests, c.Replies, c.Synthetic, c.Open)
			}
			if int64(c.FromBusInFlight) < 0 || int64(c.FromPeerInFlight) < 0 {
				t.Errorf("network %d, %s: more has ended than came in: %+v", n.NetworkID(), p, c)
			}
			if atRest && (c.Open != 0 || c.Asked != 0 || c.FromBusInFlight != 0 || c.FromPeerInFlight != 0 || c.Busy != 0 || c.Queued != 0) {
				t.Errorf("network %d, %s is not at rest: %+v", n.NetworkID(), p, c)
			}
		}
	}
}

func wantCode(t *testing.T, what string, err error, code link.Code) {
	t.Helper()
	if !errors.Is(err, &link.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}
