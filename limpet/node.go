package limpet

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A Node is one bus with its network id, and all the limpets on it. It knows what
// lies behind each link, and refuses a link that would make a clash or a loop.
// Its methods are safe for concurrent use.
type Node struct {
	bus       kbusdev.Bus
	networkID uint32
	instance  link.InstanceID
	maxSize   uint32
	log       *slog.Logger

	recent   *recent
	sessions atomic.Uint32

	mu        sync.Mutex
	links     map[*Link]struct{}
	instances map[uint32]link.InstanceID // the last seen of each network
	lawless   bool                       // loops and clashes are let in; only tests want that

	changeMu sync.Mutex
	changed  chan struct{}
}

// NewNode makes a node of a bus. networkID must be above 0: the error says so.
func NewNode(bus kbusdev.Bus, networkID uint32, log *slog.Logger) (*Node, error) {
	if networkID == 0 {
		return nil, &link.Error{Code: link.BadNetworkID, Message: "network id 0 cannot be used on a link; choose one above 0 with --network-id"}
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
		maxSize:   maxSize,
		log:       log,
		recent:    newRecent(),
		links:     make(map[*Link]struct{}),
		instances: make(map[uint32]link.InstanceID),
		changed:   make(chan struct{}),
	}
	_, _ = rand.Read(n.instance[:]) // never fails
	return n, nil
}

// Bus is the node's bus.
func (n *Node) Bus() kbusdev.Bus { return n.bus }

// NetworkID is the id of the node's bus on all its links.
func (n *Node) NetworkID() uint32 { return n.networkID }

// Instance is the random id of this process's node.
func (n *Node) Instance() link.InstanceID { return n.instance }

// Log is where the node and its links log.
func (n *Node) Log() *slog.Logger { return n.log }

// Links lists the links there are, up or not, by name.
func (n *Node) Links() []*Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*Link, 0, len(n.links))
	for l := range n.links {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *Link) int { return cmp.Compare(a.name, b.name) })
	return all
}

// Changed is closed when a link comes, goes or changes its state next.
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

// admit judges the peer that limpet has on link l, and takes it in if there is
// nothing against it. It returns what the peer is to know of the networks behind
// us, and a session that this one replaces.
func (n *Node) admit(l *Link, peer link.Peer, limpet *Limpet) (behind []link.Network, replaced *link.Session, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var replacing *Link
	for other := range n.links {
		if other == l || other.current == nil || n.lawless {
			continue
		}
		at := &other.peer
		switch {
		case at.NetworkID != peer.NetworkID:
		case at.Instance != peer.Instance:
			return nil, nil, refusal(link.Clash, peer.NetworkID, "network id %d belongs to another daemon, linked as %q; give each bus its own with --network-id", peer.NetworkID, other.name)
		case at.LinkID == peer.LinkID && peer.LinkID != "":
			replaced = other.current.session // it dialled again before we saw the old link die
			replacing = other
		default:
			return nil, nil, refusal(link.Loop, peer.NetworkID, "network %d is linked already, as %q", peer.NetworkID, other.name)
		}
	}
	if replacing != nil {
		replacing.current, replacing.behind = nil, nil
	}
	if n.lawless {
		l.current, l.peer = limpet, peer
		return nil, nil, nil
	}
	if err := n.checkBehind(l, append(slices.Clip(peer.Behind), link.Network{ID: peer.NetworkID, Instance: peer.Instance})); err != nil {
		return nil, nil, err
	}
	l.current, l.peer, l.behind = limpet, peer, peer.Behind
	n.seen(peer.Behind)
	n.seen([]link.Network{{ID: peer.NetworkID, Instance: peer.Instance}})
	return n.behindFor(l), replaced, nil
}

// checkBehind refuses networks that are ours, or reachable another way.
func (n *Node) checkBehind(l *Link, networks []link.Network) error {
	for _, net := range networks {
		if net.ID == n.networkID {
			return verdict(net, n.instance, "this daemon's own network")
		}
		for other := range n.links {
			if other == l || other.current == nil {
				continue
			}
			if net.ID == other.peer.NetworkID {
				return verdict(net, other.peer.Instance, fmt.Sprintf("linked already, as %q", other.name))
			}
			for _, known := range other.behind {
				if net.ID == known.ID {
					return verdict(net, known.Instance, fmt.Sprintf("reachable already, behind %q", other.name))
				}
			}
		}
	}
	return nil
}

// verdict tells a loop from a clash: the same daemon twice, or two of one id.
func verdict(net link.Network, known link.InstanceID, how string) error {
	if net.Instance == known {
		return refusal(link.Loop, net.ID, "the link would make a loop: network %d is %s", net.ID, how)
	}
	return refusal(link.Clash, net.ID, "two daemons have network id %d: one is %s; give each bus its own with --network-id", net.ID, how)
}

func refusal(code link.Code, network uint32, format string, args ...any) *link.Error {
	return &link.Error{Code: code, NetworkID: network, Message: fmt.Sprintf(format, args...)}
}

// seen forgets the ids of networks whose daemon is a new one: an embedded bus
// starts its serial numbers again.
func (n *Node) seen(networks []link.Network) {
	const most = 4096
	for _, net := range networks {
		if was, ok := n.instances[net.ID]; ok && was != net.Instance {
			n.recent.forget(net.ID)
		}
		if len(n.instances) >= most {
			clear(n.instances)
		}
		n.instances[net.ID] = net.Instance
	}
}

// behindFor lists what lies behind us for the peer of l: all but what it brings.
func (n *Node) behindFor(l *Link) []link.Network {
	var networks []link.Network
	for other := range n.links {
		if other == l || other.current == nil {
			continue
		}
		networks = append(networks, link.Network{ID: other.peer.NetworkID, Instance: other.peer.Instance})
		networks = append(networks, other.behind...)
	}
	return networks
}

// setBehind takes a peer's topology in, or refuses it.
func (n *Node) setBehind(l *Link, networks []link.Network) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lawless {
		return nil
	}
	if err := n.checkBehind(l, networks); err != nil {
		return err
	}
	l.behind = networks
	n.seen(networks)
	n.tellOthers(l)
	return nil
}

// tellOthers sends the topology to the peers of all links but l. A link's
// session is never called back from here, so the order of locks holds.
func (n *Node) tellOthers(l *Link) {
	for other := range n.links {
		if other != l && other.current != nil && other.current.session != nil {
			other.current.session.SendTopology(n.behindFor(other))
		}
	}
}
