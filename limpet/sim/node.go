package sim

import (
	"fmt"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/recent"
	"github.com/kbus-limpet/limpet/limpet/rename"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/table"
	"github.com/kbus-limpet/limpet/limpet/topology"
)

// A machine is what can be stopped for a while, like a process by a signal.
type machine struct {
	stoppedUntil time.Time
	slow         time.Duration // what its steps take longer than others'
}

// A ksock is one of a membus.
type ksock = *membus.Ksock

// A node is a daemon and its bus.
type node struct {
	machine  // the daemon
	w        *World
	network  uint32
	bus      *membus.Bus
	busAge   int // counts the buses
	instance link.InstanceID
	started  time.Time
	draining bool // it has been told to stop, and takes no links any more
	ids      *recent.IDs
	brought  map[string]bool // the data of what limpets have sent on the bus
	peerings []*peering
	interest *interest
	reach    *topology.Map
	desk     *explain.Desk
	foretold func(*explain.Hop) // to an operator
}

// open opens a Ksock on the node's bus.
func (n *node) open(queue uint32) ksock {
	k := must(n.bus.Open(kbusdev.ReadWrite)).(ksock)
	must(k.MaxMessages(queue))
	return k
}

// start starts the daemon, for the first time or again.
func (n *node) start() {
	n.started, n.draining = n.w.now, false
	n.brought = make(map[string]bool)
	n.instance = link.InstanceID(n.w.randomID())
	n.ids = recent.New(n.w.now)
	n.interest = newInterest(n)
	n.desk = explain.NewDesk()
	n.reach = topology.New(topology.Network{ID: n.network, Instance: topology.InstanceID(n.instance)})
}

// A peering is one end of a wire.
type peering struct {
	n      *node
	wire   *wire
	side   int // 0 dials
	totals limpet.Totals
	drops  map[drop]uint64 // that the totals have told
	greets *link.Greeting  // the peer's last greeting
	wanted *table.Wanted

	current *epoch
	carried []link.Outgoing
	stream  *end            // attached, or waits for the peer to close it
	asks    *end            // a stream on which the peer has greeted, that is to be admitted
	probing time.Time       // until when an older stream may show a sign of life
	spoils  int             // how many bind events are to be spoiled
	may     []*rules.Policy // what the peer may do, and before that might; empty is everything
	renames *rename.Map
}

func (p *peering) String() string { return fmt.Sprintf("%d>%d", p.n.network, p.other().n.network) }

func (p *peering) other() *peering { return p.wire.ends[1-p.side] }

// counts returns the peering's counts.
func (p *peering) counts() limpet.Counts {
	if p.current != nil {
		return p.current.Counts()
	}
	return p.totals.Counts()
}

// greeting returns what we say first.
func (p *peering) greeting() *link.Greeting {
	g := &link.Greeting{NetworkID: p.n.network, Instance: p.n.instance, Expected: 1, Behind: p.behind()}
	if l := p.current; l != nil && l.Why() == nil {
		g.Session, g.Expected = l.Session()
	}
	return g
}

// admit does what a daemon does with a peer that has greeted: the epoch is resumed, or
// ended and begun anew; then the stream is attached to it.
func (p *peering) admit() {
	e, w := p.asks, p.n.w
	if e == nil {
		return
	}
	g, cur := e.greeting, p.current
	if cur != nil && cur.Why() != nil {
		return // close calls admit again
	}
	if p.n.draining {
		e.close("the daemon is stopping", true)
		return
	}
	if cur != nil && g.Instance != cur.peer && p.stream != nil && w.now.Before(p.probing) {
		w.after(time.Second, p.admit)
		return
	}
	if err := p.join(g); err != nil {
		w.refused++
		w.wrong("%v refuses: %v", p, err)
		e.close(err.Error(), true)
		return
	}
	if cur != nil && (g.Instance != cur.peer || g.Session != cur.session) {
		cur.End(w.now, link.Errorf(link.Expired, "the peer has begun anew"), true)
		cur.touch()
		return
	}
	p.asks = nil
	p.greets = g
	if cur == nil {
		session := g.Session
		if p.side == 1 {
			session = link.SessionID(w.randomID())
		}
		p.n.interest.begin(p)
		cur = p.begin(g, session)
	}
	if p.stream != nil {
		p.stream.close("the peer has dialled again", true)
	}
	expected := g.Expected
	if p.side == 1 {
		e.send(p.greeting())
		if g.Session != cur.session {
			expected = 1 // it has said how far it is in a session that is over
		}
	}
	if err := cur.Attach(w.now, expected); err != nil {
		w.tracef("%v cannot attach: %v", p, err)
		cur.End(w.now, err, false)
		e.close(err.Error(), true)
		cur.touch()
		return
	}
	w.tracef("%v attaches stream %d to epoch %x, the peer expects %d", p, e.id, cur.session[:2], expected)
	p.stream, e.epoch, e.attached, e.heard = e, cur, true, w.now
	if w.cfg.interest {
		cur.Interest(p.n.interest.names.For(p.wire.source))
	}
	w.linked()
	if cur.streams++; cur.streams > 1 || p.side == 0 {
		p.n.reach.Retell(p.key())
	}
	cur.OweTopology()
	p.n.tellTopology()
	e.watch()
	cur.touch()
}
