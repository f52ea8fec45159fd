package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
)

func (o *options) newRules() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "See what the daemon's rules allow",
		Args:  args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(o.newExplain())
	return cmd
}

func (o *options) newExplain() *cobra.Command {
	var link string
	cmd := &cobra.Command{
		Use:   "explain IDENTITY NAME",
		Short: "Tell for each action whether it is allowed, and which rule decides",
		Long: `explain asks the daemon what its rules make of somebody and a name. IDENTITY is
uid:NUMBER, gid:NUMBER, name: and a name of a certificate, network:ID, local or
unknown, or several of these with spaces between, as one argument. Of a wildcard
all names must be allowed, except to listen: for that any is enough.`,
		Example: "  limpetctl rules explain uid:1000 '$.Sensor.Rain'\n  limpetctl rules explain 'name:spiffe://plant/sensor-7 network:12' '$.Sensor.*'",
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, words []string) error {
			return o.withBus(func(bus *client.Bus) error {
				ctx, cancel := o.limited(cmd.Context())
				defer cancel()
				r, err := bus.ExplainLinkRules(ctx, link, words[0], words[1])
				if err != nil {
					return err
				}
				if o.json {
					return o.printProto(cmd.OutOrStdout(), r)
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				for _, v := range r.GetVerdicts() {
					said := "denied"
					if v.GetAllowed() {
						said = "allowed"
					}
					by := v.GetText()
					if v.GetRule() > 0 {
						of := ""
						if v.GetOfLink() {
							of = " of the link"
						}
						by = fmt.Sprintf("rule %d%s: %s", v.GetRule(), of, by)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.GetAction(), v.GetObject(), said, by)
				}
				return w.Flush()
			})
		},
	}
	cmd.Flags().StringVar(&link, "link", "", "what a peer may that comes by the `LINK`, which may have rules of its own: the name of one that is dialled, or \"listen ADDRESS\"")
	return cmd
}
