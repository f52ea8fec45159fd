package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
)

// stateOf returns the state of a link in lower case.
func stateOf(l *pb.LinkStatus) string {
	return strings.ToLower(strings.TrimPrefix(l.GetState().String(), "LINK_STATE_"))
}

// otherEnd returns how the other end of a link was reached last, and who it is.
func otherEnd(l *pb.LinkStatus) string {
	if l.GetTransport() == "" {
		return "-"
	}
	return l.GetTransport() + " " + l.GetIdentity()
}

// lost returns how many messages a link has lost.
func lost(l *pb.LinkStatus) (n uint64) {
	for _, v := range l.GetCounts().GetLost() {
		n += v
	}
	return n
}

// withLinks runs f for each link of that name, or for all if there is no name.
func (o *options) withLinks(ctx context.Context, names []string, f func(*client.Bus, *pb.LinkStatus) error) error {
	return o.withBus(func(bus *client.Bus) error {
		limited, cancel := o.limited(ctx)
		defer cancel()
		all, err := bus.LinkStatus(limited, strings.Join(names, ""), 0)
		if err != nil {
			return err
		}
		for _, l := range all {
			if err := f(bus, l); err != nil {
				return err
			}
		}
		return nil
	})
}

func (o *options) newLinks() *cobra.Command {
	return &cobra.Command{
		Use:   "links",
		Short: "List the links, whether up or not",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			err := o.withLinks(cmd.Context(), nil, func(_ *client.Bus, l *pb.LinkStatus) error {
				if o.json {
					return o.printProto(cmd.OutOrStdout(), l)
				}
				peer := "no peer yet"
				if l.GetPeerNetworkId() != 0 {
					peer = fmt.Sprintf("network %d", l.GetPeerNetworkId())
				}
				since := time.Since(l.GetSince().AsTime()).Round(time.Second)
				why := ""
				if l.GetState() != pb.LinkState_LINK_STATE_UP {
					why = l.GetLastError()
				}
				_, err := printable.Fprintf(w, "%s\t%s\t%s\t%s\tfor %v\t%d open\t%d lost\t%s\n",
					l.GetName(), stateOf(l), peer, otherEnd(l), since, l.GetCounts().GetOpen(), lost(l), why)
				return err
			})
			if err != nil {
				return err
			}
			return w.Flush()
		},
	}
}

func (o *options) newDrain() *cobra.Command {
	return &cobra.Command{
		Use:   "drain [LINK]",
		Short: "End a link, or all, in good order",
		Long: `drain tells the peer, lets open requests finish, and ends the link. What is not
finished within --timeout, or 5 s if that is longer, is answered by the limpet.
The side that dials opens the link again soon afterwards.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			return o.withLinks(cmd.Context(), names, func(bus *client.Bus, l *pb.LinkStatus) error {
				unfinished, err := bus.DrainLink(cmd.Context(), l.GetName(), o.timeout)
				if err != nil {
					return err
				}
				if o.json {
					return o.printJSON(cmd.OutOrStdout(), object{{"link", l.GetName()}, {"unfinished", unfinished}})
				}
				_, err = printable.Fprintf(cmd.OutOrStdout(), "%s: drained, %d requests were not finished\n", l.GetName(), unfinished)
				return err
			})
		},
	}
}
