package topology

import "fmt"

// A Kind is the reason for a Verdict.
type Kind uint8

// The kinds of verdict.
const (
	// SameNetwork: the peer has our own network id.
	SameNetwork Kind = iota + 1
	// Loop: the network can be reached another way already.
	Loop
	// Clash: another daemon with that network id can be reached already.
	Clash
	// Duplicate: the peer itself, the same process, has joined by another link.
	Duplicate
	// TooMany: more than MaxNetworks networks could be reached.
	TooMany
	// Protocol: what the peer said contradicts itself.
	Protocol
)

// String returns the kind in words, like "same network id".
func (k Kind) String() string {
	switch k {
	case SameNetwork:
		return "same network id"
	case Loop:
		return "loop"
	case Clash:
		return "clash"
	case Duplicate:
		return "duplicate"
	case TooMany:
		return "too many networks"
	case Protocol:
		return "protocol"
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

// A Verdict refuses a peer or what it says lies behind it. errors.Is compares
// kinds: errors.Is(err, &Verdict{Kind: Loop}).
type Verdict struct { //nolint:errname // it is the word for it
	// Kind is the reason.
	Kind Kind
	// Network is the one refused, zero for TooMany.
	Network Network
	// Known tells how the network is known already, like `linked already, as "a"`;
	// empty if it is not.
	Known string
	// ByLink reports whether Link is set: the link by which the network is known.
	ByLink bool
	// Link is that link.
	Link LinkKey
	// Message says all this for people, and what to do.
	Message string
}

// Error returns the message.
func (v *Verdict) Error() string { return v.Message }

// Is reports whether target is a *Verdict of the same kind.
func (v *Verdict) Is(target error) bool {
	t, ok := target.(*Verdict)
	return ok && t.Kind == v.Kind
}

// judgePeer refuses a peer that would join by the link key.
func (m *Map) judgePeer(key LinkKey, n Network) error {
	switch r := m.known[n.ID]; {
	case n.ID == 0:
		return &Verdict{Kind: Protocol, Network: n, Message: "network id 0 cannot be used on a link; choose one above 0 with --network-id"}
	case n.Instance == m.self.Instance:
		return &Verdict{Kind: Loop, Network: n, Known: ownNetwork, Message: "a daemon cannot link to itself"}
	case n.ID == m.self.ID:
		return &Verdict{Kind: SameNetwork, Network: n, Known: ownNetwork,
			Message: fmt.Sprintf("both ends have network id %d; give each bus its own with --network-id", n.ID)}
	case r != nil && r.present && r.link != key && r.Instance == n.Instance && m.links[r.link].ID == n.ID:
		known := m.how(r)
		return &Verdict{Kind: Duplicate, Network: n, Known: known, ByLink: true, Link: r.link,
			Message: fmt.Sprintf("network %d is %s", n.ID, known)}
	}
	return m.judge(key, n)
}

// judge refuses a network that would be reached by the link key, if it is ours or
// can be reached by another link.
func (m *Map) judge(key LinkKey, n Network) error {
	if n.ID == 0 {
		return &Verdict{Kind: Protocol, Network: n, Message: "a network behind the peer has id 0"}
	}
	v := &Verdict{Network: n}
	known := m.self.Instance
	if n.ID == m.self.ID {
		v.Known = ownNetwork
	} else {
		r := m.known[n.ID]
		if r == nil || !r.present || r.link == key {
			return nil
		}
		v.Known, v.ByLink, v.Link, known = m.how(r), true, r.link, r.Instance
	}
	if n.Instance == known {
		v.Kind = Loop
		v.Message = fmt.Sprintf("the link would make a loop: network %d is %s", n.ID, v.Known)
	} else {
		v.Kind = Clash
		v.Message = fmt.Sprintf("two daemons have network id %d: one is %s; give each bus its own with --network-id", n.ID, v.Known)
	}
	return v
}

const ownNetwork = "this daemon's own network"

func (m *Map) how(r *record) string {
	if l := m.links[r.link]; l.ID == r.ID {
		return fmt.Sprintf("linked already, as %q", l.name)
	}
	return fmt.Sprintf("reachable already, behind %q", m.links[r.link].name)
}

func namedTwice(n Network) error {
	return &Verdict{Kind: Protocol, Network: n, Message: fmt.Sprintf("the peer names network %d twice among those behind it", n.ID)}
}

func tooMany(n int) error {
	return &Verdict{Kind: TooMany, Message: fmt.Sprintf("%d networks could be reached with this peer, at most %d are allowed; link fewer buses", n, MaxNetworks)}
}
