package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/drops"
)

// NameDropped announces that a message was dropped, or how many were besides, if Config has
// AnnounceDrops. The data is a Dropped, as JSON.
const NameDropped = namePrefix + "Dropped"

// Dropped is what is said about a message that was dropped, without its data. With LeftOut it
// is about no message in particular: only Network and Time are set besides.
type Dropped struct {
	// Network is the bus whose daemon has dropped it, Time when.
	Network uint32    `json:"network"`
	Time    time.Time `json:"time"`
	// Source is "link", "bus" (a listener had no room) or "rules" (a program may not send it).
	Source string `json:"source,omitempty"`
	// Link is the name of the link that has dropped it, FromPeer whether its peer had sent it.
	Link     string `json:"link,omitempty"`
	FromPeer bool   `json:"from_peer,omitempty"`
	// Reason is why, as in the metrics.
	Reason string `json:"reason,omitempty"`
	// Name, ID as "[network:serial]", From, OrigFrom as "{network:ksock}" and the Size of its data
	// in bytes are the message's.
	Name     string          `json:"name,omitempty"`
	ID       string          `json:"id,omitempty"`
	From     kbusdev.KsockID `json:"from,omitempty"`
	OrigFrom string          `json:"orig_from,omitempty"`
	Size     int             `json:"size,omitempty"`
	// MissedBy is the listener that had no room, MissedByLink the link whose Ksock that is.
	MissedBy     kbusdev.KsockID `json:"missed_by,omitempty"`
	MissedByLink string          `json:"missed_by_link,omitempty"`
	// LeftOut counts by reason what was dropped since the last such message, and is not said by
	// itself: there was too much of it.
	LeftOut map[string]uint64 `json:"left_out,omitempty"`
}

// How many drops are announced by themselves: so many at once, and so many a second after
// that. How many were left out is said once a second.
const (
	dropsAtOnce  = 100
	dropsASecond = 10
	leftOutEvery = time.Second
	betweenDrops = 50 * time.Millisecond // two looks at what was dropped
)

// A dropAnnouncer makes dropped messages announcements on a node's bus.
type dropAnnouncer struct {
	node    *limpet.Node
	ksock   kbusdev.Ksock
	watch   *drops.Watch
	room    float64 // how many may be said now
	asOf    time.Time
	leftOut map[string]uint64
	saidAt  time.Time // when it was said last how many were left out
}

func newDropAnnouncer(node *limpet.Node) (*dropAnnouncer, error) {
	k, err := node.Bus().Open(kbusdev.WriteOnly)
	if err != nil {
		return nil, fmt.Errorf("--announce-drops: %w", err)
	}
	return &dropAnnouncer{node: node, ksock: k, watch: node.Drops().Watch(), room: dropsAtOnce, asOf: time.Now(), leftOut: make(map[string]uint64)}, nil
}

func (a *dropAnnouncer) close() {
	_ = a.ksock.Close()
	a.watch.Close()
}

// run announces until ctx ends or the Ksock is closed; then it returns nil.
func (a *dropAnnouncer) run(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	var more <-chan struct{} // nil during the pause
	for {
		select {
		case <-pause.C:
			more = a.watch.More()
			if len(a.leftOut) > 0 { // which may be said now
				pause.Reset(leftOutEvery)
				if err := a.look(ctx); err != nil {
					return unlessClosed(err)
				}
			}
		case <-more:
			more = nil
			pause.Reset(betweenDrops)
			if err := a.look(ctx); err != nil {
				return unlessClosed(err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("announcing drops: %w", err)
}

// look announces what was dropped since the last look, but for what daemons say of themselves:
// that could go on for ever.
func (a *dropAnnouncer) look(ctx context.Context) error {
	now := time.Now()
	a.room = min(a.room+now.Sub(a.asOf).Seconds()*dropsASecond, dropsAtOnce)
	a.asOf = now
	err := a.watch.Look(func(p *drops.Part, some []drops.Drop, untold map[drops.Why]uint64) error {
		for i := range some {
			d := &some[i]
			switch {
			case d.Own:
				continue
			case a.room < 1:
				a.leftOut[d.Reason]++
				continue
			}
			a.room--
			if err := a.send(ctx, a.dropped(p, d)); err != nil {
				return err
			}
		}
		for why, n := range untold {
			if !why.Own {
				a.leftOut[why.Reason] += n
			}
		}
		return nil
	})
	if err != nil || len(a.leftOut) == 0 || now.Sub(a.saidAt) < leftOutEvery {
		return err
	}
	say := &Dropped{Network: a.node.NetworkID(), Time: now, LeftOut: a.leftOut}
	a.saidAt, a.leftOut = now, make(map[string]uint64)
	return a.send(ctx, say)
}

func (a *dropAnnouncer) dropped(p *drops.Part, d *drops.Drop) *Dropped {
	m := &d.Message
	out := &Dropped{
		Network: a.node.NetworkID(), Time: d.At, Source: p.Source().String(), Link: d.Link, FromPeer: d.FromPeer, Reason: d.Reason,
		Name: m.Name, ID: m.ID.String(), From: m.From, Size: d.Size, MissedBy: d.MissedBy,
	}
	if !m.OrigFrom.IsZero() {
		out.OrigFrom = m.OrigFrom.String()
	}
	if d.MissedBy != 0 {
		if of, _ := a.node.PeeringOf(d.MissedBy); of != nil {
			out.MissedByLink = of.Name()
		}
	}
	return out
}

// send sends an announcement. A bus that does not take it is no reason to stop.
func (a *dropAnnouncer) send(ctx context.Context, what *Dropped) error {
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	_, err = a.ksock.Send(ctx, &kbusdev.Message{Name: NameDropped, Data: data})
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	if err != nil {
		a.node.Log().Debug("an announcement about dropped messages was not sent", "error", err)
	}
	return nil
}
