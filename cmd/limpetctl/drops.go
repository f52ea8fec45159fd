package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

func (o *options) newDrops() *cobra.Command {
	var q pb.WatchDropsRequest
	follow := false
	cmd := &cobra.Command{
		Use:   "drops [LINK]",
		Short: "List the latest messages that were dropped, oldest first",
		Long: `drops prints the messages that the daemon has dropped, without their data: those that a
link has lost, those that a listener on the embedded bus has missed because its queue was
full, and those that the rules let no program send. The latest 128 of each link, of the bus
and of the rules are printed one by one, and how many there were besides: together that is
what the metrics count. With --follow it goes on with what is dropped from now on.`,
		Example: "  limpetctl drops --follow --name '$.Weather.*'",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			q.Link = first(names)
			if q.GetName() != "" {
				if err := kbusdev.CheckBindName(q.GetName()); err != nil {
					return &usageError{fmt.Errorf("--name %q: %w", q.GetName(), err)}
				}
			}
			return o.withBus(func(bus *client.Bus) error {
				ctx := cmd.Context()
				if !follow {
					limited, cancel := o.limited(ctx)
					defer cancel()
					ctx = limited
				}
				return o.drops(ctx, cmd.OutOrStdout(), bus, &q, follow)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&follow, "follow", false, "go on with what is dropped from now on")
	f.StringVar(&q.Name, "name", "", "only messages of this `NAME`, perhaps a wildcard")
	f.StringSliceVar(&q.Reasons, "reason", nil, "only those dropped for this `REASON`, as it is printed (repeatable)")
	return cmd
}

// drops prints what was dropped, and with follow what is.
func (o *options) drops(ctx context.Context, out io.Writer, bus *client.Bus, q *pb.WatchDropsRequest, follow bool) error {
	w, err := bus.WatchDrops(ctx, q)
	if err != nil {
		return err
	}
	defer w.Close()
	for printed := 0; ; {
		r, err := w.Recv()
		if err != nil {
			return err
		}
		for _, d := range r.GetDrops() {
			if err := o.printDrop(out, d); err != nil {
				return err
			}
		}
		for _, n := range r.GetUntold() {
			if err := o.printUntold(out, n); err != nil {
				return err
			}
		}
		printed += len(r.GetDrops()) + len(r.GetUntold())
		if r.GetWhole() && !follow {
			if printed == 0 && q.GetLink() != "" { // there may be no such link
				_, err = bus.LinkStatus(ctx, q.GetLink(), 0)
			}
			return err
		}
	}
}

// sourceOf returns who has dropped something, in lower case.
func sourceOf(s pb.DropSource) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "DROP_SOURCE_"))
}

// whereDropped says for people who has dropped something of a link, or what else it is.
func whereDropped(source pb.DropSource, link string, fromPeer bool) string {
	switch {
	case source != pb.DropSource_DROP_SOURCE_LINK:
		return "the " + sourceOf(source)
	case fromPeer:
		return link + ", from the peer"
	default:
		return link + ", to the peer"
	}
}

func (o *options) printDrop(out io.Writer, d *pb.DroppedMessage) error {
	m := d.GetMessage()
	id := kbusdev.MsgID{Network: m.GetIdNetwork(), Serial: m.GetIdSerial()}
	flags := kbusdev.Flags(m.GetFlags())
	if o.json {
		return o.printJSON(out, object{
			{"link", d.GetLink()}, {"time", d.GetTime().AsTime()}, {"from_peer", d.GetFromPeer()}, {"reason", d.GetReason()}, {"name", m.GetName()},
			{"id", id.String()}, {"from", m.GetFrom()}, {"to", m.GetTo()}, {"flags", flags.String()}, {"size", d.GetDataSize()},
			{"source", sourceOf(d.GetSource())}, {"missed_by", d.GetMissedBy()}, {"missed_by_link", d.GetMissedByLink()}, {"identity", d.GetIdentity()}, {"count", 1},
		})
	}
	who := ""
	switch {
	case d.GetMissedByLink() != "":
		who = fmt.Sprintf(", missed by ksock %d, which is %s", d.GetMissedBy(), d.GetMissedByLink())
	case d.GetMissedBy() != 0:
		who = fmt.Sprintf(", missed by ksock %d", d.GetMissedBy())
	case d.GetIdentity() != "":
		who = ", of " + d.GetIdentity()
	}
	_, err := printable.Fprintf(out, "%s %s: %s: %s id %s from %d to %d flags %s, %d bytes%s\n",
		d.GetTime().AsTime().Local().Format("2006-01-02 15:04:05.000"), whereDropped(d.GetSource(), d.GetLink(), d.GetFromPeer()), d.GetReason(), m.GetName(), id, m.GetFrom(), m.GetTo(), flags, d.GetDataSize(), who)
	return err
}

func (o *options) printUntold(out io.Writer, n *pb.DropCount) error {
	if o.json {
		return o.printJSON(out, object{
			{"link", n.GetLink()}, {"time", nil}, {"from_peer", n.GetFromPeer()}, {"reason", n.GetReason()}, {"name", nil},
			{"id", nil}, {"from", nil}, {"to", nil}, {"flags", nil}, {"size", nil},
			{"source", sourceOf(n.GetSource())}, {"missed_by", nil}, {"missed_by_link", nil}, {"identity", nil}, {"count", n.GetCount()},
		})
	}
	_, err := printable.Fprintf(out, "and %d more, %s: %s\n", n.GetCount(), whereDropped(n.GetSource(), n.GetLink(), n.GetFromPeer()), n.GetReason())
	return err
}
