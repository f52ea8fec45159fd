package limpet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/classic"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// ErrTerminated ends a limpet that has read its termination message.
var ErrTerminated = errors.New("the termination message was read from the bus")

// Config is how a limpet behaves. The zero value is right for most.
type Config struct {
	// Pattern limits what is forwarded: a name, perhaps a wildcard; "" is "$.*".
	Pattern string
	// Termination is the name of the message that stops the limpet; "" is none.
	Termination string
	// MaxMessages is what the queue of the limpet's Ksock is raised to, in messages,
	// or as far as the bus lets it; 0 is 65 536.
	MaxMessages uint32
	// StallTimeout is how long a full window stops the reading of the bus. After
	// that requests are answered EBUSY and announcements dropped, so that local
	// binds and sends do not fail for the peer's sake. 0 is 5 s.
	StallTimeout time.Duration
	// WaitTimeout bounds the wait for room on our bus with ALL_OR_WAIT; 0 is 1 s.
	WaitTimeout time.Duration
	// DrainTimeout bounds how long Drain waits for open requests; 0 is 5 s.
	DrainTimeout time.Duration
	// WindowMessages and WindowBytes bound what is under way on the link without an
	// ack, each way; 0 is 16 384 messages and 16 MiB.
	WindowMessages uint32
	WindowBytes    uint64
	// Trace logs every message as it is processed, without its data.
	Trace bool
}

// Validate tells what is wrong with the names in the configuration.
func (c *Config) Validate() error {
	if c.Pattern != "" {
		if err := kbusdev.CheckBindName(c.Pattern); err != nil {
			return fmt.Errorf("message name %q: %w; it is \"$\" and words of letters and digits joined by dots, the last of which may be * or %%", c.Pattern, err)
		}
	}
	if c.Termination != "" {
		if err := kbusdev.CheckName(c.Termination); err != nil {
			return fmt.Errorf("termination message %q: %w; it is \"$\" and words of letters and digits joined by dots", c.Termination, err)
		}
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.Pattern == "" {
		c.Pattern = "$.*"
	}
	if c.MaxMessages == 0 {
		c.MaxMessages = 65536
	}
	for _, d := range []struct {
		v  *time.Duration
		to time.Duration
	}{{&c.StallTimeout, 5 * time.Second}, {&c.WaitTimeout, time.Second}, {&c.DrainTimeout, 5 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.to
		}
	}
}

// A Limpet serves one epoch of a link. Its exported methods are safe for
// concurrent use while it runs.
type Limpet struct {
	node    *Node
	link    *Link
	cfg     Config
	log     *slog.Logger
	session *link.Session
	number  uint32 // tells the sessions of a node apart
	dialled bool
	classic bool
	ksock   kbusdev.Ksock
	ready   atomic.Bool // ksock and session are there
	hasLate atomic.Bool // late is not empty

	mu       sync.Mutex // guards what follows
	machine  *translate.Machine
	counts   tally
	todo     []translate.Effect // for the writer, from the reader
	busy     int                // effects being carried out
	snapshot bool               // the reader is to ask for one
	late     lateBinds          // put off while the peer is stalled

	wake  chan struct{} // the writer has something to do
	drain chan string
}

// Dial serves one epoch on a stream that we opened: hello, then messages until
// ctx ends, the stream fails or the peer ends it, and returns why, never nil.
// linkID names the link for as long as this process dials it. onUp is called when
// the peer has been admitted. The stream is closed when Dial returns, the Ksock
// too, and every request taken has been answered.
func Dial(ctx context.Context, l *Link, stream link.Stream, linkID []byte, cfg Config, onUp func()) error {
	return serve(ctx, l, stream, linkID, cfg, onUp)
}

// DialClassic is Dial on a connection to an upstream limpet, which is closed when it
// returns. That protocol has no acks: what the connection has taken counts as
// delivered.
func DialClassic(ctx context.Context, l *Link, conn net.Conn, cfg Config, onUp func()) error {
	return serve(ctx, l, l.classic(conn), NewLinkID(), cfg, onUp)
}

// AcceptClassic is DialClassic on a connection that the peer opened.
func AcceptClassic(ctx context.Context, l *Link, conn net.Conn, cfg Config) error {
	return serve(ctx, l, l.classic(conn), nil, cfg, nil)
}

func (l *Link) classic(conn net.Conn) link.Stream {
	return classic.NewStream(conn, max(l.node.maxSize, kbusdev.AbsoluteMaxMessageSize))
}

// Accept is Dial for a stream that the peer opened.
func Accept(ctx context.Context, l *Link, stream link.Stream, cfg Config) error {
	return serve(ctx, l, stream, nil, cfg, nil)
}

// NewLinkID makes the name of a link for Dial: 16 random bytes.
func NewLinkID() []byte {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return id
}

func serve(ctx context.Context, record *Link, stream link.Stream, linkID []byte, cfg Config, onUp func()) error {
	cfg.setDefaults()
	n := record.node
	l := &Limpet{
		node:    n,
		link:    record,
		cfg:     cfg,
		log:     n.log.With("link", record.name),
		number:  n.sessions.Add(1),
		dialled: linkID != nil,
		wake:    make(chan struct{}, 1),
		drain:   make(chan string, 1),
		late:    newLateBinds(),
	}
	lc := link.Config{
		NetworkID:      n.networkID,
		Instance:       n.instance,
		LinkID:         linkID,
		Pattern:        cfg.Pattern,
		MaxMessageSize: n.maxSize,
		WindowMessages: cfg.WindowMessages,
		WindowBytes:    cfg.WindowBytes,
		Judge:          l.judge,
		OnTopology:     func(networks []link.Network) error { return n.setBehind(record, networks) },
		OnDrain:        l.peerDrains,
		OnAck:          l.peerAcked,
	}
	open := link.Accept
	if _, l.classic = stream.(*classic.Stream); l.classic {
		lc.NoAcks = true
		open = link.Dial // each side starts with its hello
	}
	if linkID != nil {
		open = link.Dial
		lc.Behind = func() []link.Network {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.behindFor(record)
		}
	}
	defer l.leave()
	session, err := open(ctx, stream, lc)
	if err != nil {
		return err
	}
	return l.run(ctx, session, onUp)
}

// peerAcked wakes the writer if there is something that waits for room.
func (l *Limpet) peerAcked() {
	if l.hasLate.Load() {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Accepted reports whether the peer opened the link.
func (l *Limpet) Accepted() bool { return !l.dialled }

// judge admits the peer, and ends the link that this one replaces.
func (l *Limpet) judge(peer link.Peer) ([]link.Network, error) {
	behind, replaced, err := l.node.admit(l.link, peer, l)
	if err != nil {
		return nil, err
	}
	if replaced != nil {
		replaced.End(&link.Error{Code: link.Replaced, Message: "the peer has dialled again"})
	}
	return behind, nil
}

// leave takes the limpet off its node, and tells the others.
func (l *Limpet) leave() {
	n := l.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.link.current == l {
		l.link.current = nil
		l.link.behind = nil
		n.tellOthers(l.link)
	}
}

// run serves the session: the reader takes messages from the bus to the link,
// the writer does all that is to be done on the bus.
func (l *Limpet) run(ctx context.Context, session *link.Session, onUp func()) error {
	l.node.mu.Lock()
	l.session = session
	replaced := l.link.current != l
	l.node.mu.Unlock()
	if replaced {
		session.End(&link.Error{Code: link.Replaced, Message: "the peer has dialled again"})
	}
	peer := session.Peer()
	l.log = l.log.With("peer_network", peer.NetworkID)

	// The session runs first: it is what tells the peer if the bus fails.
	bus, stopBus := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBus()
	var g errgroup.Group
	g.Go(func() error {
		err := session.Run(ctx)
		stopBus()
		return err
	})
	if err := l.openKsock(peer); err != nil {
		session.End(&link.Error{Code: link.BusFailed, Message: err.Error()})
		_ = g.Wait()
		return fmt.Errorf("opening %s: %w", l.node.bus, err)
	}
	l.ready.Store(true)
	l.node.mu.Lock()
	l.node.tellOthers(l.link)
	// What changed while we said hello is told now.
	session.SendTopology(l.node.behindFor(l.link))
	l.node.mu.Unlock()
	l.link.SetState(Up, nil)
	l.log.Info("link up", "peer_instance", peer.Instance.String(), "ksock", l.ksock.ID(), "pattern", l.cfg.Pattern, "peer_pattern", peer.Pattern)
	if onUp != nil {
		onUp()
	}
	var busErr error
	var once sync.Once
	stop := func(err error) {
		if err == nil || errors.Is(err, context.Canceled) {
			return
		}
		once.Do(func() { busErr = err })
		code, msg := link.BusFailed, err.Error()
		if errors.Is(err, ErrTerminated) {
			code, msg = link.GoingAway, err.Error()
		}
		session.End(&link.Error{Code: code, Message: msg})
	}
	g.Go(func() error { stop(l.read(bus)); return nil })
	g.Go(func() error { stop(l.write(bus)); return nil })
	err := g.Wait()
	if busErr != nil {
		err = busErr
	}
	l.end()
	return err
}

// openKsock sets a fresh Ksock up, in the order that the rules give.
func (l *Limpet) openKsock(peer link.Peer) error {
	k, err := l.node.bus.Open(kbusdev.ReadWrite)
	if err != nil {
		return err
	}
	l.cfg.MaxMessages, err = k.MaxMessages(l.cfg.MaxMessages) // a bus may give less
	if err == nil {
		_, err = k.OnlyOnce(kbusdev.On)
	}
	if err == nil {
		err = k.Bind(l.cfg.Pattern, kbusdev.Listener)
	}
	if err == nil && !kbusdev.Matches(l.cfg.Pattern, kbusdev.NameReplierBindEvent) {
		err = k.Bind(kbusdev.NameReplierBindEvent, kbusdev.Listener)
	}
	if err != nil {
		_ = k.Close()
		return err
	}
	l.ksock = k
	l.node.recent.serves(k.ID(), l.number)
	l.machine = translate.New(translate.Config{
		NetworkID:     l.node.networkID,
		PeerNetworkID: peer.NetworkID,
		Ksock:         k.ID(),
		Pattern:       l.cfg.Pattern,
		Classic:       l.classic,
		Termination:   l.cfg.Termination,
		MaxAsked:      int(l.cfg.MaxMessages / 2),
		MaxOpen:       int(l.cfg.MaxMessages / 2),
	})
	return nil
}

// end answers every request that is still open, and closes the Ksock: the bus
// answers what is left in its queue.
func (l *Limpet) end() {
	never := l.session.NeverLeft()
	l.mu.Lock()
	open := append([]translate.Effect(nil), l.machine.End(func(id kbusdev.MsgID) bool { return never[id] })...)
	l.counts.fromBus[translate.LinkLost] += l.session.Undelivered()
	l.mu.Unlock()
	for i := range open {
		_ = l.sendOwn(&open[i])
	}
	l.node.recent.serves(l.ksock.ID(), 0)
	if err := l.ksock.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		l.log.Warn("closing the Ksock", "error", err)
	}
	if n := len(open); n > 0 {
		l.log.Info("answered the requests that were open when the link ended", "requests", n)
	}
}

// sendOwn sends an answer of ours at the end of the epoch, when there is no time
// to wait for room: closing the Ksock answers what has found none.
func (l *Limpet) sendOwn(fx *translate.Effect) error {
	_, err := l.ksock.Send(context.Background(), &fx.Msg)
	l.mu.Lock()
	defer l.mu.Unlock()
	if errno, refused := kbusdev.ErrnoOf(err); refused {
		l.machine.SendFailed(fx, errno)
	} else if err == nil {
		l.machine.Sent(fx)
	}
	return err
}
