package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
)

func (o *options) newReload() *cobra.Command {
	dry := false
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have limpetd read its configuration again",
		Long: `reload has limpetd read its configuration file again, as SIGHUP does. All of it is
done or, when something is wrong, nothing: that is said, and the exit code is 1.
Links that have not changed stay up; those that have are drained and begin anew.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withBus(func(bus *client.Bus) error {
				ctx, cancel := o.limited(cmd.Context())
				defer cancel()
				changes, err := bus.Reload(ctx, dry)
				if err != nil {
					return err
				}
				for _, c := range changes {
					if o.json {
						err = o.printJSON(cmd.OutOrStdout(), object{{"what", c.GetWhat()}, {"before", c.GetBefore()}, {"after", c.GetAfter()}})
					} else {
						_, err = printable.Fprintf(cmd.OutOrStdout(), "%s\n", changeLine(c))
					}
					if err != nil {
						return err
					}
				}
				if len(changes) == 0 && !o.json {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), "nothing changes")
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only print what would change")
	return cmd
}

// changeLine returns a change as people read it: "+" is added, "-" removed, "~" changed.
func changeLine(c *pb.ConfigChange) string {
	switch {
	case c.GetBefore() == "":
		return fmt.Sprintf("+ %s: %s", c.GetWhat(), c.GetAfter())
	case c.GetAfter() == "":
		return fmt.Sprintf("- %s", c.GetWhat())
	default:
		return fmt.Sprintf("~ %s: %s -> %s", c.GetWhat(), c.GetBefore(), c.GetAfter())
	}
}
