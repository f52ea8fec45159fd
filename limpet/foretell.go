package limpet

import (
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A Site is a bus with its limpets, of which somebody asks what would become of a message.
type Site interface {
	// NetworkID is that of the bus.
	NetworkID() uint32
	// Route is membus.Bus.Route. An error that is no errno is of a bus that cannot tell.
	Route(from kbusdev.KsockID, m *kbusdev.Message) (kbusdev.Route, error)
	// Hears judges whether the program with a Ksock may hear a message; nil if it may.
	Hears(k kbusdev.KsockID, m *kbusdev.Message) *explain.Judgement
	// Limpet calls f for the limpet with a Ksock, and reports whether there is one.
	Limpet(k kbusdev.KsockID, f func(Limpet)) bool
	// Limpets calls f for all limpets, and for the links that have none now.
	Limpets(f func(Limpet))
}

// A Limpet is one of a Site. Its epoch may be asked until the function ends that it was given
// to.
type Limpet struct {
	// Name is the link's, Key its number, Peer the peer's network id, 0 if it is not known.
	Name string
	Key  explain.Link
	Peer uint32
	// Ksock is the limpet's. Epoch is nil if the link has none: Why then says why.
	Ksock kbusdev.KsockID
	Epoch *Epoch
	Why   string
	// Asks reports that the peer can be asked, Classic that it is an upstream limpet.
	Asks, Classic bool
}

// A Sender is a program that would send a message.
type Sender struct {
	// Ksock is its Ksock; 0 if it has none yet.
	Ksock kbusdev.KsockID
	// Rules are what it may do; nil is everything.
	Rules *rules.Policy
}

// ForetellSent returns what would become of an announcement or a request that a program sends
// on the bus of a site, as far as it is known there, and what is to be asked of the peers of
// its links. Nothing changes. hops is over how many links they may be asked, and bytes what
// the answer may take.
func ForetellSent(s Site, by Sender, m kbusdev.Message, hops, bytes uint32) (*explain.Hop, []explain.Ask) {
	h := &explain.Hop{Network: s.NetworkID(), Message: m}
	h.Message.From = by.Ksock
	action := rules.Announce
	if m.IsRequest() {
		action = rules.Request
	}
	h.Rule = JudgementOf(by.Rules, action, m.Name)
	if !by.Rules.Sends(&m) {
		h.Stop = &explain.Stop{Reason: translate.Denied.String(), Errno: kbusdev.ErrnoName(syscall.EADDRNOTAVAIL)}
		return h, nil
	}
	v := newVision(s, h, hops, bytes)
	return h, v.send(by.Ksock, func(errno syscall.Errno) *explain.Stop {
		return &explain.Stop{Reason: translate.Refused.String(), Errno: kbusdev.ErrnoName(errno)}
	})
}

// ForetellBrought is ForetellSent for a message that the peer of a limpet of the site brings.
func ForetellBrought(s Site, by kbusdev.KsockID, m kbusdev.Message, hops, bytes uint32) (*explain.Hop, []explain.Ask) {
	h := &explain.Hop{Network: s.NetworkID(), Message: m}
	var f Foretold
	if !s.Limpet(by, func(l Limpet) {
		f = l.Epoch.ForetellFromPeer(&m)
		h.Message, h.Rule, h.Stop = f.Message, f.Rule, f.Stop
	}) {
		h.Stop = &explain.Stop{Reason: translate.LinkLost.String()}
	}
	if h.Stop != nil {
		return h, nil
	}
	h.Message.From = by
	h.Message.Flags &^= kbusdev.Synthetic | kbusdev.WantYouToReply
	v := newVision(s, h, hops, bytes)
	return h, v.send(by, func(errno syscall.Errno) (stop *explain.Stop) {
		s.Limpet(by, func(l Limpet) { stop = l.Epoch.ForetellRefusal(&f, errno) })
		return stop
	})
}

// A vision is a hop in the making.
type vision struct {
	site Site
	hop  *explain.Hop
	hops uint32
	room int // bytes
	asks []explain.Ask
}

// newVision leaves half of the room of the answer to those who are asked.
func newVision(s Site, h *explain.Hop, hops, bytes uint32) *vision {
	return &vision{site: s, hop: h, hops: hops, room: int(bytes)/2 - h.Size()}
}

// fits takes the room that a part of the hop takes, if there is that much.
func (v *vision) fits(size int) bool {
	if size > v.room {
		return false
	}
	v.room -= size
	return true
}

// send finds who gets the message of the hop from the bus, and where it goes on.
func (v *vision) send(from kbusdev.KsockID, refused func(syscall.Errno) *explain.Stop) []explain.Ask {
	h := v.hop
	route, err := v.site.Route(from, &h.Message)
	errno, isErrno := kbusdev.ErrnoOf(err)
	switch {
	case err != nil && !isErrno:
		h.Branches = append(h.Branches, explain.Branch{Request: h.Message.IsRequest(), End: explain.Unlisted, Why: explain.Clip(err.Error())})
		return nil
	case err == nil && route.Replier.NoRoom:
		errno = syscall.EBUSY
	}
	if errno != 0 {
		h.Stop = refused(errno)
		if errno == syscall.EADDRNOTAVAIL {
			v.absent()
		}
		return nil
	}
	v.give(from, &route)
	return v.asks
}

// give notes who gets the message, and where it goes on.
func (v *vision) give(from kbusdev.KsockID, route *kbusdev.Route) {
	h := v.hop
	limpets := make(map[kbusdev.KsockID]bool) // whose branch is there
	add := func(r kbusdev.Recipient, request bool) explain.Recipient {
		out := explain.Recipient{Ksock: r.Ksock, Binding: r.Name, NoRoom: r.NoRoom}
		is := v.site.Limpet(r.Ksock, func(l Limpet) {
			out.Link = l.Name
			if !limpets[r.Ksock] {
				limpets[r.Ksock] = true
				v.branch(l, request, r.NoRoom)
			}
		})
		if !is {
			out.Denied = v.site.Hears(r.Ksock, &h.Message)
		}
		return out
	}
	if route.Replier.Ksock != 0 {
		r := add(route.Replier, true)
		r.Denied = nil // it is asked, whatever it may hear
		h.Replier = &r
	}
	for _, l := range route.Listeners {
		out := add(l, false)
		switch {
		case out.Link != "":
		case len(h.Listeners) < explain.MaxListeners && v.fits(out.Size()):
			h.Listeners = append(h.Listeners, out)
		default:
			h.MoreListeners++
		}
	}
	if !h.Message.IsRequest() {
		v.site.Limpets(func(l Limpet) {
			switch {
			case l.Epoch == nil:
				v.add(explain.Branch{Link: l.Name, Network: l.Peer, End: explain.NotLinked, Why: explain.Clip(l.Why)})
			case l.Ksock != from && !limpets[l.Ksock]: // it does not listen to it
				v.add(explain.Branch{Link: l.Name, Network: l.Peer, Stop: &explain.Stop{Reason: l.Epoch.unheard(h.Message.Name).String()}})
			}
		})
	}
	for i := range v.asks { // the branches do not move any more
		v.asks[i].Branch = &h.Branches[v.asks[i].Question.ID]
		v.asks[i].Question.ID = 0
	}
}

// branch notes what becomes of the message on its way over a link.
func (v *vision) branch(l Limpet, request, noRoom bool) {
	read := v.hop.Message
	if request {
		read.Flags |= kbusdev.WantYouToReply
	}
	f := l.Epoch.ForetellFromBus(&read)
	if f.Stop != nil && f.Stop.Reason == translate.OwnMessage.String() {
		return
	}
	b := explain.Branch{Link: l.Name, Network: l.Peer, Request: request, Rule: f.Rule, Stop: f.Stop}
	switch {
	case f.Stop != nil:
	case noRoom:
		b.Stop = &explain.Stop{Reason: translate.Refused.String(), Errno: kbusdev.ErrnoName(syscall.EBUSY)}
	default:
		b.Message = f.Message
		b.End = v.end(l)
	}
	if v.add(b) && b.Stop == nil && b.End == explain.None {
		v.asks = append(v.asks, explain.Ask{Link: l.Key, Question: explain.Question{
			ID:      uint64(len(v.hop.Branches) - 1), // where its branch is, until they are all there
			Message: f.Message, Hops: v.hops - 1, Bytes: explain.MaxAnswer,
		}})
	}
}

// end returns why the peer of a limpet cannot be asked.
func (v *vision) end(l Limpet) explain.End {
	switch {
	case l.Classic:
		return explain.Classic
	case !l.Epoch.session.Attached():
		return explain.Detached
	case !l.Asks:
		return explain.OldPeer
	case v.hops == 0:
		return explain.TooFar
	default:
		return explain.None
	}
}

// add adds a branch, if there is room for it.
func (v *vision) add(b explain.Branch) bool {
	if !b.Request && (len(v.hop.Branches) >= explain.MaxBranches || !v.fits(b.Size())) {
		v.hop.MoreBranches++
		return false
	}
	v.hop.Branches = append(v.hop.Branches, b)
	return true
}

// absent notes why nobody might be bound here: what peers say they have bound, and links that
// are not up.
func (v *vision) absent() {
	v.site.Limpets(func(l Limpet) {
		if l.Epoch == nil {
			v.add(explain.Branch{Link: l.Name, Network: l.Peer, End: explain.NotLinked, Why: explain.Clip(l.Why)})
			return
		}
		if c, claimed := l.Epoch.Unbound(v.hop.Message.Name); claimed && len(v.hop.Claims) < explain.MaxBranches && v.fits(32+len(l.Name)+len(c.Name)) {
			v.hop.Claims = append(v.hop.Claims, explain.Claim{Link: l.Name, Name: c.Name, Denied: c.Denied})
		}
	})
}

// ForStranger returns what a peer is told of a hop that may not administer this daemon: what
// it could find out by sending, and by what it is told in any case. wanted reports that it
// has been told that somebody here, or behind here, wants to hear messages of this name.
func ForStranger(h *explain.Hop, wanted bool) *explain.Hop {
	o := h.Outcome()
	told := &explain.Outcome{By: o.By, Answer: o.Answer} // what is denied is answered as what is absent
	if o.Unseen != explain.None && o.By.IsZero() && o.Answer == "" {
		told.Unseen = explain.Hidden
	}
	if h.Message.IsRequest() {
		return &explain.Hop{Network: h.Network, Told: told}
	}
	told.Unseen = explain.None
	if h.Stop == nil && wanted {
		told.Heard, told.Unseen = true, explain.Hidden
	}
	return &explain.Hop{Network: h.Network, Told: told}
}
