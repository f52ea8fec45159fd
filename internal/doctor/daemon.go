package doctor

import (
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// grows returns how bad a count is: nothing has to be done about what is over.
func grows(first, last uint64) (Severity, string) {
	if last > first {
		return Warning, ", and it goes on"
	}
	return Note, ""
}

// daemon judges what the daemon says of itself.
func (e *examination) daemon() {
	first, last := e.First, e.Last
	if last.GetVersion() != e.Version {
		e.find("L010", Note, "", "install the same version of both, and restart limpetd after an upgrade", "limpetd is %s, limpetctl %s", last.GetVersion(), e.Version)
	}
	e.device()
	if until := last.GetCertificateExpires(); until != nil {
		e.validity("L042", "", until.AsTime())
	}
	for _, where := range last.GetInsecure() {
		e.find("L050", Warning, where, "give limpetd --tls-cert, --tls-key and --tls-ca, or use a Unix socket or a loopback address; see docs/security.md",
			"whoever reaches it, or the way to it, can join, and read and change what is sent")
	}
	if n := last.GetApiMissed(); n > 0 {
		s, still := grows(first.GetApiMissed(), n)
		e.find("L064", s, "", "have the programs read faster, or let more wait (listen --max-messages)", "programs that listen have missed %d messages, for their queues were full%s", n, still)
	}
	before := make(map[string]uint64)
	for _, b := range first.GetBoundsReached() {
		before[b.GetWho()+b.GetBound()] = b.GetCount()
	}
	for _, b := range last.GetBoundsReached() {
		s, still := grows(before[b.GetWho()+b.GetBound()], b.GetCount())
		e.find("L070", s, b.GetWho(), "see docs/bounds.md: find out who takes so much", "the bound of %s was reached %d times%s", b.GetBound(), b.GetCount(), still)
	}
	if n := last.GetApiDenied(); n > 0 {
		s, still := grows(first.GetApiDenied(), n)
		e.find("L071", s, "programs", "limpetctl rules explain says which rule decides", "the rules have refused %d messages and bindings%s", n, still)
	}
}

func (e *examination) device() {
	d := e.Device
	switch {
	case d == nil:
	case d.Missing:
		e.find("L020", Critical, d.Path, "load the module, or start kbusd, then restart limpetd", "the device is not there any more")
	case d.Other:
		e.find("L021", Critical, d.Path, "remove the file, make the device again, then restart limpetd", "it is no KBUS device")
	case d.Closed:
		e.find("L022", Note, d.Path, "give this user rights on it, if programs of this user are to open it; through limpetd's API they need none", "this user may not open it for reading and writing")
	}
}

// downFor is how long a link may take to come up before that is worth a word.
const downFor = 3 * time.Second

// link judges a link; first is how it was before, nil if it is new.
func (e *examination) link(l, first *pb.LinkStatus) {
	name := l.GetName()
	since := e.At.Sub(l.GetSince().AsTime()).Round(time.Second)
	switch l.GetState() {
	case pb.LinkState_LINK_STATE_UP, pb.LinkState_LINK_STATE_UNSPECIFIED:
	case pb.LinkState_LINK_STATE_DETACHED:
		e.find("L031", Warning, name, "look at the network and at the peer; when the grace is over, open requests are answered", "it has been broken for %v, and waits to be resumed: %s", since, l.GetLastError())
	case pb.LinkState_LINK_STATE_DRAINING:
		e.find("L032", Note, name, "wait: it ends when open requests are answered, in some seconds at most", "it is being drained")
	case pb.LinkState_LINK_STATE_CONNECTING:
		e.down(l, since)
	}
	if v := l.GetPeerVersion(); v != "" && v != e.Last.GetVersion() {
		e.find("L073", Note, name, "install the same version at both ends, when it suits you", "the peer is limpetd %s, this one %s", v, e.Last.GetVersion())
	}
	e.losses(l, first)
}

// down judges a link that is not up.
func (e *examination) down(l *pb.LinkStatus, since time.Duration) {
	name, why := l.GetName(), l.GetLastError()
	switch l.GetErrorCode() {
	case "loop":
		e.find("L034", Critical, name, "remove one of the links of the loop", "%s", why)
	case "same network id", "clash", "bad network id":
		e.find("L035", Critical, name, "give each bus a --network-id of its own", "%s", why)
	case "not authorised":
		e.find("L036", Critical, name, "have a rule of the other end allow: join, for this certificate and network id", "%s", why)
	case "version":
		e.find("L037", Critical, name, "install the same version at both ends", "%s", why)
	default:
		switch {
		case !l.GetDialled():
			e.find("L033", Note, name, "nothing, unless it should be there: then look at the other end, which dials", "the peer has been gone for %v: %s", since, why)
		case since >= downFor:
			e.find("L030", Critical, name, "see that the peer runs and listens there, and that nothing is in between", "it has not been up for %v: %s", since, why)
		}
	}
}

// losses judges what a link has counted.
func (e *examination) losses(l, first *pb.LinkStatus) {
	name, c, before := l.GetName(), l.GetCounts(), first.GetCounts()
	const drops = "limpetctl drops says which, and why"
	denied := func(c *pb.LinkCounts) uint64 {
		return c.GetFromBusEnded()["denied"] + c.GetFromPeerEnded()["denied"]
	}
	if n := sum(c.GetLost()); n > 0 {
		s, still := grows(sum(before.GetLost()), n)
		e.find("L060", s, name, drops, "%d messages are lost%s", n, still)
	}
	if n := c.GetQueueFull(); n > 0 {
		s, still := grows(before.GetQueueFull(), n)
		e.find("L061", s, name, "the bus is faster than the link: send less, or use a faster way between the machines", "its queue on the bus was full %d times, when the bus may have dropped announcements%s", n, still)
	}
	if n, most := c.GetQueued(), c.GetQueueBound(); most > 0 && n >= most/10*8 {
		e.find("L062", Warning, name, "the bus is faster than the link: send less, or use a faster way between the machines", "%d messages wait in its queue on the bus, of at most %d", n, most)
	}
	if n := c.GetWindowFull(); n > 0 {
		if s, still := grows(before.GetWindowFull(), n); s > Note {
			e.find("L063", Note, name, "nothing, unless messages are late: the peer, or the way to it, is slower than what is sent", "its window was full %d times%s", n, still)
		}
	}
	if n := denied(c); n > 0 {
		s, still := grows(denied(before), n)
		e.find("L071", s, name, "limpetctl rules explain says which rule decides", "the rules have refused %d of its messages%s", n, still)
	}
	if n := c.GetUnknownFrames(); n > 0 {
		e.find("L072", Note, name, "install the same version at both ends", "the peer has sent %d frames of a kind that this version does not know", n)
	}
}

func sum(all map[string]uint64) (n uint64) {
	for _, v := range all {
		n += v
	}
	return n
}
