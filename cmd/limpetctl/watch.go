package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

func (o *options) newWatch() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Print bindings, repliers or links, and then each change",
		Long: `watch prints what there is, one line each that starts with "here"; then the line
"whole", which says that this was all; then a line "here" for what is new or has changed,
and "gone" for what is there no longer. "restart" says that limpetctl was too slow: all
that there is is printed again.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	once := cmd.PersistentFlags().Bool("once", false, "stop when everything there is has been printed")
	cmd.AddCommand(
		&cobra.Command{
			Use:     "bindings [NAME]",
			Short:   "What is bound on the bus; of these names, if NAME is given",
			Example: "  limpetctl watch bindings '$.Weather.*'",
			Args:    args(cobra.MaximumNArgs(1)),
			RunE: func(cmd *cobra.Command, names []string) error {
				return watchWith(o, cmd, *once, func(ctx context.Context, bus *client.Bus) (*client.Watch[kbusdev.Binding], error) {
					return bus.WatchBindings(ctx, first(names))
				}, func(b kbusdev.Binding) (string, object) {
					return fmt.Sprintf("ksock %d %s %s", b.Ksock, b.Role, b.Name),
						bindingObject(b)
				})
			},
		},
		&cobra.Command{
			Use:     "repliers NAME",
			Short:   "Who replies to a name or wildcard, on this bus and over its links",
			Example: "  limpetctl watch repliers '$.Clock.Now'",
			Args:    args(cobra.ExactArgs(1)),
			RunE: func(cmd *cobra.Command, names []string) error {
				return watchWith(o, cmd, *once, func(ctx context.Context, bus *client.Bus) (*client.Watch[client.ReplierBinding], error) {
					return bus.WatchRepliers(ctx, names[0])
				}, func(r client.ReplierBinding) (string, object) {
					where := "on this bus"
					if r.Link != "" {
						where = fmt.Sprintf("over %s to network %d", r.Link, r.NetworkID)
					}
					return fmt.Sprintf("%s ksock %d %s", r.Name, r.Ksock, where),
						object{{"name", r.Name}, {"ksock", r.Ksock}, {"link", r.Link}, {"network_id", r.NetworkID}}
				})
			},
		},
		&cobra.Command{
			Use:     "links [LINK]",
			Short:   "The links and their states",
			Example: "  limpetctl watch links",
			Args:    args(cobra.MaximumNArgs(1)),
			RunE: func(cmd *cobra.Command, names []string) error {
				return watchWith(o, cmd, *once, func(ctx context.Context, bus *client.Bus) (*client.Watch[*pb.LinkStatus], error) {
					return bus.WatchLinks(ctx, first(names))
				}, showLink)
			},
		},
	)
	return cmd
}

func first(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// showLink returns a link as a line and as JSON; of one that is gone only the name is known.
func showLink(l *pb.LinkStatus) (string, object) {
	if l.GetState() == pb.LinkState_LINK_STATE_UNSPECIFIED {
		return l.GetName(), object{{"name", l.GetName()}}
	}
	line := l.GetName() + ": " + stateOf(l)
	if l.GetPeerNetworkId() != 0 {
		line += fmt.Sprintf(", network %d", l.GetPeerNetworkId())
	}
	if n := l.GetNetworksBehind(); len(n) > 0 {
		line += fmt.Sprintf(" and behind it %v", n)
	}
	if l.GetLastError() != "" && l.GetState() != pb.LinkState_LINK_STATE_UP {
		line += ": " + l.GetLastError()
	}
	return line, objectOf(l.ProtoReflect())
}

// watchWith prints what a watch tells, until the command or the watch ends.
func watchWith[T any](o *options, cmd *cobra.Command, once bool, open func(context.Context, *client.Bus) (*client.Watch[T], error), show func(T) (string, object)) error {
	return o.withBus(func(bus *client.Bus) error {
		w, err := open(cmd.Context(), bus)
		if err != nil {
			return err
		}
		defer w.Close()
		for {
			c, err := w.Recv()
			if err != nil {
				return err
			}
			if err := printChanges(o, cmd.OutOrStdout(), c, show); err != nil || once && c.Whole {
				return err
			}
		}
	})
}

func printChanges[T any](o *options, out io.Writer, c client.Changes[T], show func(T) (string, object)) error {
	say := func(event, line string, fields object) error {
		if o.json {
			return o.printJSON(out, append(object{{"event", event}}, fields...))
		}
		if line != "" {
			event += " " + line
		}
		_, err := printable.Fprintf(out, "%s\n", event)
		return err
	}
	if c.Restart {
		if err := say("restart", "", nil); err != nil {
			return err
		}
	}
	for _, some := range []struct {
		event string
		all   []T
	}{{"gone", c.Gone}, {"here", c.Here}} {
		for _, x := range some.all {
			line, fields := show(x)
			if err := say(some.event, line, fields); err != nil {
				return err
			}
		}
	}
	if c.Whole {
		return say("whole", "", nil)
	}
	return nil
}
