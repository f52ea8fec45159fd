package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

func (o *options) newSend() *cobra.Command {
	var d data
	var urgent, allOrFail, allOrWait bool
	cmd := &cobra.Command{
		Use:     "send NAME [TEXT...]",
		Short:   "Send an announcement",
		Example: "  limpetctl send '$.Weather.Rain' from noon",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			b, err := d.read(cmd.Context(), words[1:])
			if err != nil {
				return err
			}
			m := &kbusdev.Message{Name: words[0], Data: b}
			for _, f := range []struct {
				set  bool
				flag kbusdev.Flags
			}{{urgent, kbusdev.Urgent}, {allOrFail, kbusdev.AllOrFail}, {allOrWait, kbusdev.AllOrWait}} {
				if f.set {
					m.Flags |= f.flag
				}
			}
			return o.withBus(func(bus *client.Bus) error {
				ctx, cancel := o.limited(cmd.Context())
				defer cancel()
				id, err := bus.Send(ctx, m)
				if err != nil {
					return err
				}
				if o.json {
					return o.printJSON(cmd.OutOrStdout(), object{{"id", id.String()}})
				}
				_, err = printable.Fprintf(cmd.OutOrStdout(), "sent %s with id %s\n", m.Name, id)
				return err
			})
		},
	}
	d.addFlags(cmd)
	cmd.Flags().BoolVar(&urgent, "urgent", false, "go to the front of the listeners' queues")
	cmd.Flags().BoolVar(&allOrFail, "all-or-fail", false, "fail unless every listener has room")
	cmd.Flags().BoolVar(&allOrWait, "all-or-wait", false, "wait until every listener has room")
	cmd.MarkFlagsMutuallyExclusive("all-or-fail", "all-or-wait")
	return cmd
}

func (o *options) newBindings() *cobra.Command {
	return &cobra.Command{
		Use:   "bindings",
		Short: "List what is bound on the bus, newest first",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withBus(func(bus *client.Bus) error {
				ctx, cancel := o.limited(cmd.Context())
				defer cancel()
				for page, err := range bus.BindingPages(ctx, 0) {
					if err != nil {
						return err
					}
					if err := o.printBindings(cmd.OutOrStdout(), page); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// printBindings prints bindings as a table, or as JSON.
func (o *options) printBindings(out io.Writer, all []kbusdev.Binding) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, b := range all {
		var err error
		if o.json {
			err = o.printJSON(out, bindingObject(b))
		} else {
			_, err = printable.Fprintf(w, "ksock %d\t%s\t%s\n", b.Ksock, b.Role, b.Name)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

func bindingObject(b kbusdev.Binding) object {
	return object{{"ksock", b.Ksock}, {"role", b.Role.String()}, {"name", b.Name}}
}

func (o *options) newStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what the daemon is doing",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withBus(func(bus *client.Bus) error {
				ctx, cancel := o.limited(cmd.Context())
				defer cancel()
				st, err := bus.Status(ctx)
				if err != nil {
					return err
				}
				out := cmd.OutOrStdout()
				if o.json {
					return o.printProto(out, st)
				}
				printable.Fprintf(out, "limpetd %s on bus %s, network %d, %d bindings, since %s\n",
					st.GetVersion(), st.GetBus(), st.GetNetworkId(), st.GetBindings(), st.GetStartTime().AsTime().Local().Format("2006-01-02 15:04:05"))
				for _, where := range st.GetInsecure() {
					printable.Fprintf(out, "INSECURE: %s has no TLS, so anybody can join there, or read and change what is sent\n", where)
				}
				if n := st.GetApiMissed(); n > 0 {
					printable.Fprintf(out, "programs that listen through the API have missed %d messages\n", n)
				}
				for _, b := range st.GetBoundsReached() {
					printable.Fprintf(out, "%s have reached the bound of %s %d times\n", b.GetWho(), b.GetBound(), b.GetCount())
				}
				if n := st.GetApiDenied(); n > 0 {
					fmt.Fprintf(out, "the rules have refused programs %d messages and bindings\n", n)
				}
				for _, l := range st.GetLinks() {
					state := stateOf(l)
					printable.Fprintf(out, "\n%s: %s", l.GetName(), state)
					if l.GetPeerNetworkId() != 0 {
						printable.Fprintf(out, ", network %d", l.GetPeerNetworkId())
					}
					if l.GetPeerVersion() != "" {
						printable.Fprintf(out, " of limpetd %s", l.GetPeerVersion())
					}
					if n := l.GetNetworksBehind(); len(n) > 0 {
						printable.Fprintf(out, " and behind it %v", n)
					}
					if l.GetTransport() != "" {
						printable.Fprintf(out, ", %s", otherEnd(l))
					}
					printable.Fprintf(out, ", %d epochs, resumed %d times", l.GetEpochs(), l.GetResumed())
					if l.GetLastError() != "" && state != "up" {
						printable.Fprintf(out, "\n  %s", l.GetLastError())
					}
					if r := l.GetRenames(); len(r) > 0 {
						printable.Fprintf(out, "\n  renames   %s", strings.Join(r, " "))
					}
					if c := l.GetCounts(); c != nil {
						printable.Fprintf(out, "\n  requests  %d taken = %d replied + %d answered by the limpet + %d open; %d of the peer's open\n",
							c.GetRequests(), c.GetReplies(), c.GetSynthetic(), c.GetOpen(), c.GetAsked())
						printable.Fprintf(out, "  from bus  %d read, %d in flight, ended %v\n", c.GetFromBus(), c.GetFromBusInFlight(), c.GetFromBusEnded())
						printable.Fprintf(out, "  from peer %d brought, %d in flight, ended %v\n", c.GetFromPeer(), c.GetFromPeerInFlight(), c.GetFromPeerEnded())
						printable.Fprintf(out, "  repliers  %d known here, %d bound for the peer, %d held by local ones", c.GetRepliers(), c.GetProxies(), c.GetWishes())
					}
					fmt.Fprintln(out)
				}
				return nil
			})
		},
	}
}
