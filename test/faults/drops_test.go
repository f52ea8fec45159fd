package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// A dropSum is what drops of links are summed up by.
type dropSum struct{ link, reason string }

// checkDrops holds what the daemons tell of the messages that their links have dropped against
// what they have counted, and what listeners have missed against what programs did.
func (n *network) checkDrops() {
	for _, node := range n.nodes {
		if err := compareDrops(n.t.Context(), node.life().bus); err != nil {
			n.tr.strange(fmt.Sprintf("node %d: %v", node.id, err))
		}
	}
}

// compareDrops compares, again while something is dropped.
func compareDrops(ctx context.Context, bus *client.Bus) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	for before := (map[dropSum]uint64)(nil); ; {
		told, missed, err := toldDrops(ctx, bus)
		if err != nil {
			return err
		}
		st, err := bus.Status(ctx)
		if err != nil {
			return err
		}
		counted := make(map[dropSum]uint64)
		for _, l := range st.GetLinks() {
			for reason, n := range l.GetCounts().GetLost() {
				counted[dropSum{l.GetName(), reason}] += n
			}
		}
		if maps.Equal(told, counted) && missed >= st.GetApiMissed() {
			return nil
		}
		if before != nil && maps.Equal(before, counted) {
			return fmt.Errorf("drops of links are told: %v, counted: %v; listeners have missed %d, programs among them %d", told, counted, missed, st.GetApiMissed())
		}
		before = counted
	}
}

// toldDrops sums up what is told of the links' drops, and of those of the bus.
func toldDrops(ctx context.Context, bus *client.Bus) (links map[dropSum]uint64, missed uint64, err error) {
	w, err := bus.WatchDrops(ctx, &pb.WatchDropsRequest{})
	if err != nil {
		return nil, 0, err
	}
	defer w.Close()
	links = make(map[dropSum]uint64)
	add := func(source pb.DropSource, link, reason string, n uint64) {
		switch source {
		case pb.DropSource_DROP_SOURCE_LINK:
			links[dropSum{link, reason}] += n
		case pb.DropSource_DROP_SOURCE_BUS:
			missed += n
		default:
			err = errors.Join(err, fmt.Errorf("%s drops messages, though there are no rules", source))
		}
	}
	for {
		r, rerr := w.Recv()
		if rerr != nil {
			return nil, 0, rerr
		}
		for _, d := range r.GetDrops() {
			add(d.GetSource(), d.GetLink(), d.GetReason(), 1)
			if len(d.GetMessage().GetData()) > 0 || time.Since(d.GetTime().AsTime()) > time.Hour {
				err = errors.Join(err, fmt.Errorf("a drop is told as %v", d))
			}
		}
		for _, x := range r.GetUntold() {
			add(x.GetSource(), x.GetLink(), x.GetReason(), x.GetCount())
		}
		if r.GetWhole() {
			return links, missed, err
		}
	}
}
