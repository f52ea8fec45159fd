package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/drops"
	"github.com/kbus-limpet/limpet/server/admin"
)

// The names of what a daemon says about its links on its own bus, if Config has
// AnnounceLinks. They are ordinary messages, so peers get them too if somebody there
// listens: what they say names the network that they are about.
const (
	// NameLinkUp announces that a link has got a stream, NameLinkDown that its state has
	// become another one. The data is a Link, as JSON.
	NameLinkUp   = namePrefix + "Link.Up"
	NameLinkDown = namePrefix + "Link.Down"
	// NameLost announces that messages were lost on a link. The data is a Lost, as JSON.
	NameLost = namePrefix + "Lost"
	// NameLinks is a replier, which answers with Links as JSON. On a bus whose daemon
	// binds it, it is that daemon, for a local replier goes before far ones.
	NameLinks = namePrefix + "Links"

	namePrefix = drops.OwnNames
)

// NameLinksOf returns the other name of the replier for Links: it names the network, so
// that one daemon in particular can be asked from any bus.
func NameLinksOf(networkID uint32) string { return fmt.Sprintf("%sN%d.Links", namePrefix, networkID) }

// A Link is what is said about one link.
type Link struct {
	// Network is the bus that the link belongs to, Name is the link's.
	Network uint32 `json:"network"`
	Name    string `json:"link"`
	// Peer is the network id of the peer, once it is known.
	Peer uint32 `json:"peer,omitempty"`
	// State is "connecting", "up", "detached", "draining", or "forgotten" when there is
	// no such link any more; Since is when that began.
	State string    `json:"state"`
	Since time.Time `json:"since,omitzero"`
	// Reason is why it is not up, for people.
	Reason string `json:"reason,omitempty"`
	// Epochs and Resumed count the epochs, and the streams that were resumed.
	Epochs  uint64 `json:"epochs"`
	Resumed uint64 `json:"resumed"`
	// Lost counts the messages lost so far, by reason.
	Lost map[string]uint64 `json:"lost,omitempty"`
}

// Lost is what is said about messages that were lost on a link within about a second.
type Lost struct {
	// Network and Name are as in Link.
	Network uint32 `json:"network"`
	Name    string `json:"link"`
	// Counts are by reason.
	Counts map[string]uint64 `json:"counts"`
	// First and Last are ids, as "[network:serial]", of the messages lost: of more than
	// 128, First is that of the oldest of the latest 128.
	First string `json:"first,omitempty"`
	Last  string `json:"last,omitempty"`
}

// Links is what a daemon answers about its links.
type Links struct {
	// Network is that of its bus.
	Network uint32 `json:"network"`
	// Links are by name.
	Links []Link `json:"links"`
	// More says that there are more than fit into a message.
	More bool `json:"more,omitempty"`
}

// lookForLosses is how often that is.
const lookForLosses = time.Second

// An announcer makes changes of a node's links messages on its bus.
type announcer struct {
	node  *limpet.Node
	ksock kbusdev.Ksock
	known map[string]*announced
}

type announced struct {
	link   Link
	latest time.Time // of the drops that were announced
	seen   bool
}

// newAnnouncer opens the Ksock and binds the repliers. Another daemon on the same bus
// may have them already: then this one only announces.
func newAnnouncer(node *limpet.Node) (*announcer, error) {
	k, err := node.Bus().Open(kbusdev.ReadWrite)
	if err != nil {
		return nil, fmt.Errorf("--announce-links: %w", err)
	}
	for _, name := range []string{NameLinks, NameLinksOf(node.NetworkID())} {
		err := k.Bind(name, kbusdev.Replier)
		if errors.Is(err, syscall.EADDRINUSE) {
			node.Log().Warn("another replier is bound; questions about the links go there", "name", name)
		} else if err != nil {
			_ = k.Close()
			return nil, fmt.Errorf("--announce-links: %w", err)
		}
	}
	return &announcer{node: node, ksock: k, known: make(map[string]*announced)}, nil
}

func (a *announcer) close() { _ = a.ksock.Close() }

// run announces and answers until ctx ends or the Ksock is closed; then it returns nil.
func (a *announcer) run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return a.announce(ctx) })
	g.Go(func() error { return a.answer(ctx) })
	if err := g.Wait(); err != nil && !errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
		return fmt.Errorf("announcing links: %w", err)
	}
	return nil
}

func (a *announcer) announce(ctx context.Context) error {
	tick := time.NewTicker(lookForLosses)
	defer tick.Stop()
	for {
		changed := a.node.Changed() // before looking, so that no change is missed
		if err := a.look(ctx); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look announces what has changed since the last look.
func (a *announcer) look(ctx context.Context) error {
	for _, p := range a.node.Peerings() {
		now := a.link(p)
		was := a.known[now.Name]
		if was == nil {
			was = &announced{link: Link{State: limpet.Connecting.String()}}
			a.known[now.Name] = was
		}
		before := was.link
		was.link, was.seen = now, true
		if now.State != before.State || now.Epochs != before.Epochs || now.Resumed != before.Resumed {
			if err := a.send(ctx, nameOf(&now), &now); err != nil {
				return err
			}
		}
		if err := a.lost(ctx, p, was, before.Lost); err != nil {
			return err
		}
	}
	for name, was := range a.known {
		if !was.seen {
			delete(a.known, name)
			was.link.State, was.link.Since = "forgotten", time.Now()
			if err := a.send(ctx, NameLinkDown, &was.link); err != nil {
				return err
			}
		}
		was.seen = false
	}
	return nil
}

func nameOf(l *Link) string {
	if l.State == limpet.Up.String() {
		return NameLinkUp
	}
	return NameLinkDown
}

// lost announces what was lost on a link in addition to before. Announcements of ours
// that were lost are not announced: that could go on for ever.
func (a *announcer) lost(ctx context.Context, p *limpet.Peering, now *announced, before map[string]uint64) error {
	more := make(map[string]uint64)
	for why, n := range now.link.Lost {
		if n > before[why] {
			more[why] = n - before[why]
		}
	}
	if len(more) == 0 {
		return nil
	}
	say := &Lost{Network: now.link.Network, Name: now.link.Name, Counts: more}
	others := false
	for _, d := range p.Drops() {
		if !d.At.After(now.latest) {
			continue
		}
		now.latest = d.At
		others = others || !strings.HasPrefix(d.Message.Name, namePrefix)
		if say.First == "" {
			say.First = d.Message.ID.String()
		}
		say.Last = d.Message.ID.String()
	}
	if !others {
		return nil
	}
	return a.send(ctx, NameLost, say)
}

// link returns what is said about a link now.
func (a *announcer) link(p *limpet.Peering) Link {
	st := p.Status()
	l := Link{Network: a.node.NetworkID(), Name: st.Name, State: st.State.String(), Since: st.Since, Epochs: st.Epochs, Resumed: st.Resumed}
	if st.Peer != nil {
		l.Peer = st.Peer.NetworkID
	}
	if st.LastErr != nil && st.State != limpet.Up {
		l.Reason = st.LastErr.Error()
	}
	l.Lost = admin.Lost(&st.Counts)
	return l
}

// send sends an announcement. A bus that does not take it is no reason to stop.
func (a *announcer) send(ctx context.Context, name string, what any) error {
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	_, err = a.ksock.Send(ctx, &kbusdev.Message{Name: name, Data: data})
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	if err != nil {
		a.node.Log().Debug("an announcement about links was not sent", "name", name, "error", err)
	}
	return nil
}

// answer answers questions.
func (a *announcer) answer(ctx context.Context) error {
	for {
		q, err := a.ksock.Recv(ctx)
		if err != nil {
			return err
		}
		if !q.WantsUsToReply() {
			continue
		}
		data, err := a.links()
		if err != nil {
			return err
		}
		_, err = a.ksock.Send(ctx, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: data})
		if errors.Is(err, net.ErrClosed) {
			return err
		}
	}
}

// links returns Links as JSON, as many as fit into a message of the bus.
func (a *announcer) links() ([]byte, error) {
	const header = 256 // more than an entire message has beside name and data
	room := int(a.node.MaxMessageSize()) - header - len(NameLinksOf(1<<32-1))
	all := Links{Network: a.node.NetworkID(), Links: []Link{}}
	for _, p := range a.node.Peerings() {
		all.Links = append(all.Links, a.link(p))
	}
	for {
		data, err := json.Marshal(&all)
		if err != nil || len(data) <= room || len(all.Links) == 0 {
			return data, err
		}
		all.Links, all.More = all.Links[:len(all.Links)/2], true
	}
}
