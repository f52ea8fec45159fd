package limpet

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/drops"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/recent"
	"github.com/kbus-limpet/limpet/limpet/table"
	"github.com/kbus-limpet/limpet/limpet/tap"
	"github.com/kbus-limpet/limpet/limpet/topology"
	"github.com/kbus-limpet/limpet/limpet/trace"
)

// A Node is one bus with its network id, and the peerings that join it to others. It
// knows what lies behind each, and refuses a link that would make a clash or a loop.
// Its methods are safe for concurrent use.
type Node struct {
	bus       kbusdev.Bus
	networkID uint32
	instance  link.InstanceID
	maxSize   uint32
	software  string // told to peers
	log       *slog.Logger
	tracing   trace.Config
	record    func(link string) *Recording // nil records nothing
	drops     *drops.Log
	slow      slow

	idsMu    sync.Mutex
	ids      *recent.IDs
	names    namePool
	taps     tap.Hub
	maxNames int // of each peer

	mu          sync.Mutex // see the package's comment for the order of locks
	peerings    map[topology.LinkKey]*Peering
	lastKey     topology.LinkKey
	kept        kept
	reach       *topology.Map
	closed      bool
	lawless     bool // loops and clashes are let in; only tests want that
	interest    *table.Interest
	watching    bool // interest has the listeners of our bus
	listeners   *listeners
	policyOf    PolicyOf
	policiesSet int // counts SetPolicies
	origins     origins
	onStop      func()
	terminated  bool

	changeMu sync.Mutex
	changed  chan struct{}

	explains explains
}

// NewNode returns a node of a bus; Close ends it. networkID must be above 0: the
// error says so.
func NewNode(bus kbusdev.Bus, networkID uint32, log *slog.Logger) (*Node, error) {
	if networkID == 0 {
		return nil, link.Errorf(link.BadNetworkID, "network id 0 cannot be used on a link; choose one above 0 with --network-id")
	}
	k, err := bus.Open(kbusdev.ReadWrite)
	if err != nil {
		return nil, err
	}
	maxSize, err := k.MaxMessageSize(0)
	if cerr := k.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	n := &Node{
		bus:       bus,
		networkID: networkID,
		names:     namePool{left: defaultAllNames},
		maxNames:  defaultMaxNames,
		maxSize:   maxSize,
		log:       log,
		drops:     drops.New(),
		ids:       recent.New(time.Now()),
		peerings:  make(map[topology.LinkKey]*Peering),
		interest:  table.NewInterest(),
		changed:   make(chan struct{}),
	}
	_, _ = rand.Read(n.instance[:]) // never fails
	n.reach = topology.New(topology.Network{ID: networkID, Instance: topology.InstanceID(n.instance)})
	n.reach.OnRoute(n.origins.route)
	n.explains.begin(n)
	n.watchListeners()
	return n, nil
}

// Close drains all peerings that are left, until ctx ends, and ends them. Links cannot
// be opened any more. Nothing of the node is left running when it returns.
func (n *Node) Close(ctx context.Context, reason string) {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	var all sync.WaitGroup
	for _, p := range n.Peerings() {
		all.Go(func() { p.Close(ctx, reason) })
	}
	all.Wait()
	n.listeners.stop()
	n.slow.stop()
}

// Trace has the requests of all links traced: share and to are as in trace.Config. to is
// called with a lock held. Trace is called before the first link, if at all.
func (n *Node) Trace(share float64, to func(*trace.Span)) {
	n.tracing = trace.Config{Share: share, To: to}
}

// Record has what is decided on each link recorded: f is called for each epoch, with the name
// of its link. Record is called before the first link, if at all.
func (n *Node) Record(f func(link string) *Recording) { n.record = f }

// OnTerminated has f called once, when a limpet has read its termination message.
func (n *Node) OnTerminated(f func()) {
	n.mu.Lock()
	was := n.terminated
	n.onStop = f
	n.mu.Unlock()
	if was {
		f()
	}
}

func (n *Node) terminate() {
	n.mu.Lock()
	first, f := !n.terminated, n.onStop
	n.terminated = true
	n.mu.Unlock()
	if first && f != nil {
		f()
	}
}

// Taps returns those who look at what passes the links.
func (n *Node) Taps() *tap.Hub { return &n.taps }

// Bus returns the node's bus.
func (n *Node) Bus() kbusdev.Bus { return n.bus }

// NetworkID returns the id of the node's bus on all its links.
func (n *Node) NetworkID() uint32 { return n.networkID }

// Instance returns the random id of this process's node.
func (n *Node) Instance() link.InstanceID { return n.instance }

// MaxMessageSize returns the bus's bound on entire messages when the node was made, in
// bytes.
func (n *Node) MaxMessageSize() uint32 { return n.maxSize }

// Drops returns what the node's links have dropped. Others may add to it what the daemon drops
// elsewhere.
func (n *Node) Drops() *drops.Log { return n.drops }

// Log returns where the node and its links log.
func (n *Node) Log() *slog.Logger { return n.log }

// Peerings lists the peerings there are, linked or not, by name.
func (n *Node) Peerings() []*Peering {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*Peering, 0, len(n.peerings))
	for _, p := range n.peerings {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *Peering) int { return cmp.Compare(a.name, b.name) })
	return all
}

// PeeringOf returns the peering whose limpet has this Ksock on the bus now, and its peer;
// nil if there is none.
func (n *Node) PeeringOf(k kbusdev.KsockID) (*Peering, *link.Greeting) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peerings {
		if p.current != nil && p.current.ksock.ID() == k {
			return p, p.peer
		}
	}
	return nil, nil
}

// Changed returns a channel that is closed when a peering comes or goes, or its
// Peering.Changes changes next.
func (n *Node) Changed() <-chan struct{} {
	n.changeMu.Lock()
	defer n.changeMu.Unlock()
	return n.changed
}

func (n *Node) noteChange() {
	n.changeMu.Lock()
	defer n.changeMu.Unlock()
	close(n.changed)
	n.changed = make(chan struct{})
}

// Overlook makes what a Ksock of the daemon's own listens to not count as wanted: peers
// do not send it for that. It is called before the Ksock binds anything.
func (n *Node) Overlook(k kbusdev.KsockID) { n.listeners.exclude(k) }

// serve notes that a Ksock is, or is no longer, that of a limpet on this bus.
func (n *Node) serve(k kbusdev.KsockID, serves bool) {
	n.idsMu.Lock()
	if serves {
		n.ids.Serve(k)
	} else {
		n.ids.Unserve(k)
	}
	n.idsMu.Unlock()
	if serves {
		n.listeners.exclude(k)
	} else {
		n.listeners.include(k)
	}
}

// lockedIDs is the node's memory of ids for an epoch.
type lockedIDs struct{ node *Node }

func (i lockedIDs) Claim(id kbusdev.MsgID, now time.Time) bool {
	i.node.idsMu.Lock()
	defer i.node.idsMu.Unlock()
	return i.node.ids.Claim(id, now)
}

func (i lockedIDs) Read(id kbusdev.MsgID, from kbusdev.KsockID, now time.Time) {
	i.node.idsMu.Lock()
	defer i.node.idsMu.Unlock()
	i.node.ids.Read(id, from, now)
}

// losesUnread reports whether a bus loses stateful requests whose replier goes away
// unread, as the kernel module does.
func losesUnread(bus kbusdev.Bus) bool {
	b, ok := bus.(interface{ LosesUnread() bool })
	return ok && b.LosesUnread()
}

// SetSoftware sets the version that peers are told, for people: its first 64 bytes. It is
// called before there is a link.
func (n *Node) SetSoftware(version string) {
	n.software = strings.ToValidUTF8(version[:min(len(version), 64)], "")
}
